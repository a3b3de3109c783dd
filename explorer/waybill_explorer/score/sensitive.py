"""Sensitive data in telemetry, for RES-010, SPA-006, MET-008 and LOG-003.

The rules name kinds of data and prescribe no patterns. These are chosen so that what they find is worth a look: a
card number begins with a digit that card issuers use, placeholders of SQL and redacted values are not secrets, and
lines of source code in a stack trace are not read.
"""

import re
from functools import lru_cache
from typing import Any

from waybill_explorer.score.words import words

CACHED, CACHED_TEXT = 20_000, 500
"""How many texts are remembered, and of how many characters at most: most attributes are the same again and again."""
MAX_TEXT = 65_536
"""Characters of a text that are looked at."""

_NAMES = words(
    """
    password passwd passphrase pwd secret client_secret token access_token refresh_token id_token auth_token api_key
    apikey private_key access_key secret_key authorization cookie set_cookie credential credentials ssn
    social_security_number card_number credit_card credit_card_number cvv iban account_number routing_number tax_id
    diagnosis patient_id insurance_id
    """
)
_SENSITIVE_KEY = re.compile(rf"(?:^|_)(?:{'|'.join(_NAMES)})$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ID_KEY = re.compile(r"(?i)(?:trace|span)[._]?id$")

_PLACEHOLDER = re.compile(r"(?i)[\s*?.•-]*|x{3,}|[\[<(]?(?:redacted|masked|filtered|hidden|removed|null|none)[\])>]?")
_DIGITS = re.compile(r"(?<![\w-])(?<!\d\.)[2-6](?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?![\w-])")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_CREDENTIAL = re.compile(
    r"\b[Bb]earer\s+[\w.~+/-]{8,}|\b[Bb]asic\s+[A-Za-z0-9+/]{12,}={0,2}|\bsk-[A-Za-z0-9_-]{12,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@*]+@"
)
_PAIR_NAMES = "|".join(name.replace("_", "[_-]?") for name in _NAMES if name not in ("cookie", "set_cookie"))
_PAIR = re.compile(
    rf"""(?i)(?:{_PAIR_NAMES})(?:["']\s*:\s*["']?|=\s?["']?)(?!redacted|masked|\*|null\b|none\b)[A-Za-z0-9+/!#&^~]"""
)
"""A name and its value: `trustStorePassword=x`, `"token": "x"`. Not `token = ?`, `%(token)s`, `:token` or `$1`."""


def problem(key: str, value: Any) -> str:
    """Return what kind of sensitive data an attribute, a body or a name holds, or nothing. `key` may be empty.

    `value` is plain Python: text, a whole number, or lists and dictionaries of such; other values hold nothing.
    """
    if isinstance(value, str):
        return _in_text(key, value)
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return _in_text(key, str(value))
    if isinstance(value, list):
        return next(filter(None, (problem(key, item) for item in value)), "")
    if isinstance(value, dict):
        return next(filter(None, (problem(name, item) for name, item in value.items())), "")
    return ""


def in_text(text: str) -> str:
    """Return what kind of sensitive data a text holds, or nothing."""
    return _in_text("", text)


def _in_text(key: str, text: str) -> str:
    if len(text) + len(key) <= CACHED_TEXT:
        return _known(key, text)
    return _found(key[-CACHED_TEXT:], text[:MAX_TEXT])


def _found(key: str, text: str) -> str:
    if key and _names_sensitive(key) and not _PLACEHOLDER.fullmatch(text):
        return f"a value under the key {key!r}"
    if key == "exception.stacktrace":
        return _pattern("\n".join(line for line in text.splitlines() if line[:1] not in (" ", "\t")))
    return "" if _ID_KEY.search(key) else _pattern(text)


_known = lru_cache(CACHED)(_found)


def _names_sensitive(key: str) -> bool:
    """Return whether a key names a sensitive field: `db.password`, `trustStorePassword`, `user.ssn`."""
    return bool(_SENSITIVE_KEY.search(re.sub(r"\W+", "_", _CAMEL.sub("_", key)).lower()))


def _pattern(text: str) -> str:
    if "@" in text and _EMAIL.search(text):
        return "an email address"
    if any(_is_card(match[0]) for match in _DIGITS.finditer(text)):
        return "a card number"
    if "-" in text and _SSN.search(text):
        return "a social security number"
    if _CREDENTIAL.search(text):
        return "a credential"
    if ("=" in text or ":" in text) and _PAIR.search(text):
        return "a secret, financial or health value with its name"
    if any(_is_iban(match[0]) for match in _IBAN.finditer(text)):
        return "a bank account number"
    return ""


def _is_card(text: str) -> bool:
    """Return whether 13 to 19 digits pass the Luhn check."""
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Return whether a text passes the check of ISO 13616: letters as numbers, modulo 97."""
    compact = text.replace(" ", "")
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
