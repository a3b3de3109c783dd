"""What must never pass the Collector, in the forms in which it is met, and what must pass unchanged."""

from dataclasses import dataclass
from typing import Any

NBSP, NARROW, EN_DASH = "\u00a0", "\u202f", "\u2013"
CARDS = {
    "visa": "4111111111111111",
    "visa of 13 digits": "4222222222222",
    "visa of 19 digits": "4111111111111111110",
    "mastercard": "5555555555554444",
    "mastercard of the 2-series": "2223003122003222",
    "last of the 2-series": "2720992593319364",
    "american express": "378282246310005",
    "diners": "30569309025904",
    "discover": "6011111111111117",
    "jcb": "3530111333300000",
    "unionpay": "6240008631401148",
    "maestro": "6304000000000000000",
}
JWT = ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "abcdefghijkl"])
IBAN = "DE89370400440532013000"


@dataclass(frozen=True)
class Form:
    """A text with a secret in it."""

    name: str
    text: str
    secret: str
    """The part of the text that must not pass."""


def _form(name: str, text: str, secret: str = "") -> Form:
    return Form(name, text, secret or text)


def _grouped(name: str, separator: str, *groups: str) -> Form:
    return _form(f"{name} with {separator!a}", separator.join(groups))


_VISA = ("4111", "1111", "1111", "1111")
FORMS = [
    *(_form(name, number) for name, number in CARDS.items()),
    *(_grouped("visa", separator, *_VISA) for separator in (" ", ".", "-", "_", "+", NBSP, NARROW, EN_DASH, " - ")),
    *(_grouped("2-series", separator, "2223", "0031", "2200", "3222") for separator in (" ", "-", NBSP)),
    *(_grouped("american express", separator, "3782", "822463", "10005") for separator in (" ", ".", "-")),
    _grouped("maestro", " ", "6304", "0000", "0000", "0000", "000"),
    *(
        _form(f"visa in {around.format('...')!a}", around.format(CARDS["visa"]), CARDS["visa"])
        for around in (
            *("tok_{}", "card{}", "card{}usd", "card={}&x=1", "a&{}&b", "<{}>", "%3D{}%26", "%20{}", "\n{}\n", "\t{}"),
            *("({})", '"{}"', "\\{}", "n°{}.", "{},5500005555555559", "{}_x", "[{}]", "a,{},b"),
        )
    ),
    _form("two cards", f"{CARDS['visa']} {CARDS['mastercard']}", CARDS["mastercard"]),
    _form("address", "ada@example.com"),
    _form("address in a URL", "email=ada%40example.com&x=1", "ada%40example.com"),
    _form("address encoded twice", "email%3Dada%2540example.com", "ada%2540example.com"),
    _form("address with a name", "Ada <ada.l+news@mail.example.co.uk>", "ada.l+news@mail.example.co.uk"),
    _form("address in a new line", "\nada@example.com\n", "ada@example.com"),
    _form("address behind a backslash", "C:\\ada@example.com", "ada@example.com"),
    _form("address with letters of other scripts", "adà@exämple.com"),
    _form("cookies that a client sends", "Cookie: session=s3ss10n; theme=dark", "s3ss10n"),
    _form("a cookie that a server sets", "Set-Cookie: sid=s3ss10n; Path=/", "s3ss10n"),
    _form("bearer", "Authorization: Bearer canary-0123456789abcdef", "canary-0123456789abcdef"),
    _form("bearer in a URL", "auth=Bearer%20canary-0123456789abcdef", "canary-0123456789abcdef"),
    _form("basic", "Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    *(
        _form(f"{name} in {around!a}", around.format(name, "hunter2abc"), "hunter2abc")
        for name in ("access_token", "refreshToken", "password", "api_key", "X-Api-Key", "client_secret", "AccountKey")
        for around in ("{}={}", "a=b&{}={}&c=d", '{{"{}": "{}"}}', '{{"{}":"{}"}}', "{}:{}", "{}='{}'")
    ),
    _form("password in prose", "password: hunter2abc", "hunter2abc"),
    _form("password in a DSN", "postgresql://order:hunter2abc@postgres/order", "hunter2abc"),
    _form("password without a user", "redis://:hunter2abc@valkey:6379/0", "hunter2abc"),
    _form("password with signs in a DSN", "amqp://u:hunter2abc:@!$@queue", "hunter2abc"),
    _form("password in a keyword DSN", "host=db user=order password=hunter2abc", "hunter2abc"),
    _form("web token", JWT),
    _form("web token in a line", f"\n{JWT}", JWT),
    _form("IBAN", IBAN),
    _form("IBAN in groups", "DE89 3704 0044 0532 0130 00"),
    _form("IBAN with no-break spaces", NBSP.join(("GB82", "WEST", "1234", "5698", "7654", "32"))),
    _form("IBAN in a URL", f"iban={IBAN}&x=1", IBAN),
    _form("IBAN in a line", f"\n{IBAN}", IBAN),
    # In pieces, so that no scanner of repositories takes them for real ones.
    _form("key of AWS", "AK" + "IA" + "IOSFODNN7EXAMPLE"),
    _form("key of Google", "AI" + "za" + "SyA-1234567890abcdefghijklmnopqrstu"),
    _form("token of GitHub", "gh" + "p_" + "0123456789abcdefghijklmnopqrstuvwxyz"),
    _form("token of GitLab", "glp" + "at-" + "0123456789abcdefghij"),
    _form("token of Slack", "xox" + "b-" + "0123456789-abcdefghij"),
    _form("key of Stripe", "sk_" + "live_" + "0123456789abcdefghijklmn"),
    _form("key in a line", "\n" + "sk" + "-" + "0123456789abcdefghijklmn", "0123456789abcdefghijklmn"),
    _form(
        "private key",
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA " + "PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA",
    ),
]

SECRET_KEYS = [
    *("http.request.header.cookie", "http.response.header.set-cookie", "http.request.header.authorization"),
    *(
        "http.request.header.x-api-key",
        "access_token",
        "refreshToken",
        "db.password",
        "client_secret",
        "aws.secret_key",
    ),
    *("private-key", "user.credentials", "Authorization", "cookies", "SESSION_TOKEN"),
]
"""Keys whose value must not pass, whatever it looks like."""

UNCHANGED: dict[str, Any] = {
    "a word": "CONFIRMED",
    "nothing": "",
    "a sentence": "order settled after 3 of 5 attempts, 2 items: 'tea' & \"cups\" <fine>\n\tnext line \\ \u2028 ü €",
    "UUID": "41111111-1111-4111-8111-111111111111",
    "UUID of mixed digits": "5f0c2a68-4123-4567-8901-234567890123",
    "trace id": "5b8efff798038103d269b633813fc60c",
    "trace id that ends with digits": "a3ce929d0e0e47364111111111111111",
    "span id": "eee19b7ec3c1b174",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "digest": "sha256:4a1f5e2c9b3d47862bb0d1c3e5f708192a3b4c5d6e7f8091a2b3c4d5e6f70819",
    "moment": "2026-11-30T13:08:01.123456789+00:00",
    "moment in ns, as text": "1764500000123456789",
    "moment in ns": 1764500000123456789,
    "moment in us": 1764500000123456,
    "moment in ms": 1764500000123,
    "status": 404,
    "negative": -17,
    "amount": 1234567,
    "bytes": 17179869184,
    "fraction": 0.125,
    "large fraction": 1.5e22,
    "yes": True,
    "words": ["a", "b c", "TEA-SENCHA"],
    "numbers": [1, 2, 1764500000123],
    "nested": {"a": {"b": [1, "x"]}, "c": False},
    "version": "1.45.1",
    "address": "192.168.10.104:54321",
    "address of six": "2001:db8:85a3::8a2e:370:7334",
    "URL": "http://order-service:8080/orders/41111111-1111-4111-8111-111111111111",
    "URL with a port and a path": "https://shop.example:8443/@scope/package",
    "SQL": "UPDATE items SET stock = stock - $1 WHERE sku = $2 RETURNING stock",
    "browser": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "a field that is missing": "payment_token: Field required",
    "gen_ai.usage.input_tokens": 4096,
    "task": "task-0123456789abcdef01234567",
    "phone-like": "room 4111, desk 1111",
    "SKU": "TEA-SENCHA-100G",
}
"""Attributes that are no secret."""
