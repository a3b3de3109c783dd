"""The key of a class, and what follows from it: a learner's seeds and token, the join code, signed results.

The key never leaves the teacher's data folder. A learner has a token, which is the key of that learner alone, so one
cannot sign for another. This is for a classroom, not for an exam: who owns a machine can read and sign all on it.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from labs import faults
from local.settings import LocalSettings
from waybill_explorer.client import ClientError

NAME = re.compile(r"[\w.-][\w .-]{0,38}[\w.-]|[\w.-]")
"""1 to 40 letters, digits, spaces, dots and dashes."""
NO_CLASS = "no class"
"""The key of results outside of a class: their signature only finds typing errors."""
SEEDS = 1_000_000
SIGNATURE_LENGTH = 8
FORM = "NAME/LAB/SEED/POINTS/HINTS/MINUTES/SIGNATURE"


def class_key(settings: LocalSettings) -> bytes:
    """Return the key of the class, made at the first use."""
    file = key_file(settings)
    try:
        return bytes.fromhex(file.read_text())
    except FileNotFoundError:
        pass
    except ValueError as error:
        raise ClientError(f"{file} is not a key: remove it to begin a new class.") from error
    key = secrets.token_bytes(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(key.hex() + "\n")
    return key


def key_file(settings: LocalSettings) -> Path:
    """Return the file of the key."""
    return faults.folder(settings) / "class.key"


def valid_name(text: str) -> str:
    """Return the name of a learner. Raise a ClientError if it cannot be one."""
    name = " ".join(text.split())
    if not NAME.fullmatch(name):
        raise ClientError(f"{text[:60]!r} is no name: use 1 to 40 letters, digits, spaces, dots and dashes.")
    return name


def seed_for(key: bytes, name: str, lab: str) -> int:
    """Return the seed of a learner's case of a lab: neighbors differ."""
    return int.from_bytes(_mac(key, "seed", name, lab)[:6]) % SEEDS


def token_for(key: bytes, name: str) -> str:
    """Return what proves that a learner has joined, and signs the learner's results."""
    return _mac(key, "learner", name).hex()


def join_code(key: bytes) -> str:
    """Return what the teacher shows and learners type to join: 8 letters and digits."""
    return _letters(_mac(key, "join"))


@dataclass(frozen=True)
class Result:
    """What a learner has reached in a lab."""

    name: str
    lab: str
    seed: int
    points: int
    hints: int
    minutes: int

    def text(self) -> str:
        """Return it as the code has it, without the signature."""
        return f"{self.name}/{self.lab}/{self.seed}/{self.points}/{self.hints}/{self.minutes}"


def sign(result: Result, token: str) -> str:
    """Return a result as a code that can be read, typed and verified."""
    return f"{result.text()}/{_signature(result, token)}"


def read(code: str) -> tuple[Result, str]:
    """Return the result in a code and its signature, not verified. Raise a ClientError if it is no code."""
    parts = " ".join(code.split()).split("/")
    try:
        name, lab, seed, points, hints, minutes, signature = parts
        return Result(name, lab, int(seed), int(points), int(hints), int(minutes)), signature.upper()
    except ValueError as error:
        raise ClientError(f"{code[:120]!r} is no code of a result: it has the form {FORM}.") from error


def is_signed(result: Result, signature: str, token: str) -> bool:
    """Return whether the signature is that of the result, made with this token."""
    return hmac.compare_digest(_signature(result, token).encode(), signature.encode())


def _signature(result: Result, token: str) -> str:
    return _letters(_mac(token.encode(), "result", result.text()))


def _letters(mac: bytes) -> str:
    return base64.b32encode(mac).decode()[:SIGNATURE_LENGTH]


def _mac(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, "\0".join(parts).encode(), hashlib.sha256)
