"""The language of the search box: text -> a tree of terms, or an error that says where and what is wrong.

    service:order duration>500ms status:error order.region=ap "declined" -http.route=/items exists:exception.type

Terms beside each other must all hold. `or` binds weaker, `not` (or `-`) stronger, parentheses group. README.md says
what each term means; `trace_search.py` and `log_search.py` decide what fits.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from waybill_explorer.durations import microseconds
from waybill_explorer.logs import LEVELS
from waybill_explorer.value_tests import (
    Begins,
    Compares,
    Contains,
    Differs,
    Equals,
    Exists,
    OneOf,
    Pattern,
    ValueTest,
    number,
)

FIELDS = (
    *("service", "operation", "duration", "total", "status", "kind", "trace"),
    *("level", "logger", "body"),
)
"""What is no attribute: of spans, of traces and of log lines."""
ALIASES = {"name": "operation"}
ATTRIBUTE = "attribute"
STATUSES = ("error", "refused", "ok")
KINDS = ("server", "client", "internal", "producer", "consumer")
LEVEL_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL"}
MAX_LENGTH = 4_000
MAX_DEPTH = 50
MAX_TERMS = 100

OPERATORS = ("!=", ">=", "<=", ":", "=", ">", "<")
MISSPELLED = {
    "==": "write =",
    "=>": "write >=",
    "=<": "write <=",
    "<>": "write !=",
    "=~": "regular expressions are not supported; write key:abc* for what begins with abc",
    "!~": "regular expressions are not supported; write -key:abc*",
    ":=": "write : or =",
    ":>": "write > without a colon",
    ":<": "write < without a colon",
    ":!": "write != without a colon",
    "!:": "write != or put - before the term",
    "!": "put - or `not` before a term to exclude it",
}
SYMBOLS = {"&&": "and", "&": "and", "||": "or", "|": "or"}
_WORD = re.compile(r'[^\s()":=<>!]+(?:!(?!=)[^\s()":=<>!]*)*')
_KEY = re.compile(r"[^\W\d][\w.\-/$@*#\[\]]*")
_OPERATOR = re.compile(r"\s*([!:=<>~]+)\s*")
_SPACES = re.compile(r"\s*")


class QueryError(Exception):
    """The text is no query; `position` is the index of the character where it is wrong, or its length at the end."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(f"position {position + 1}: {problem}")
        self.position = position
        self.problem = problem


@dataclass(frozen=True)
class All:
    """Every one of its nodes holds."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True)
class Either:
    """At least one of its nodes holds."""

    nodes: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    """Its node does not hold."""

    node: "Node"


@dataclass(frozen=True)
class Words:
    """A text anywhere, whatever its capitals."""

    text: str


@dataclass(frozen=True)
class Term:
    """A field (of FIELDS, or an ATTRIBUTE with its key), and what its value must be."""

    field: str
    key: str
    test: ValueTest
    position: int


@dataclass(frozen=True)
class Logged:
    """In a query for traces: its node holds for a log line of the trace. Made by trace_search.py."""

    node: "Node"


Leaf = Words | Term
Node = All | Either | Not | Logged | Leaf
EVERYTHING = All()


def parse(text: str) -> Node:
    """Return the tree of a query; of an empty text EVERYTHING. Raise QueryError."""
    if len(text) > MAX_LENGTH:
        raise QueryError(MAX_LENGTH, f"a query may have {MAX_LENGTH:,} characters")
    parser = _Parser(text.replace("\0", " "))
    parser.skip_spaces()
    if parser.is_at_end:
        return EVERYTHING
    node = parser.either(0)
    if not parser.is_at_end:
        parser.fail("this parenthesis was never opened")
    return node


def terms(node: Node) -> Iterator[Term]:
    """Yield the terms of a tree, those that must not hold too."""
    match node:
        case All(nodes) | Either(nodes):
            for one in nodes:
                yield from terms(one)
        case Not(one) | Logged(one):
            yield from terms(one)
        case Term():
            yield node


class _Parser:
    """Recursive descent over the characters; `at` is always behind the spaces."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.terms = 0

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.text)

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        raise QueryError(self.at if at is None else at, problem)

    def skip_spaces(self) -> None:
        self.at = _end(_SPACES, self.text, self.at)

    def either(self, depth: int) -> Node:
        nodes = [self.all(depth)]
        while self._keyword("or"):
            nodes.append(self.all(depth, after="or"))
        return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))

    def all(self, depth: int, after: str = "") -> Node:
        nodes: list[Node] = []
        while not self.is_at_end and self.text[self.at] != ")" and not self._is_keyword("or"):
            if self._is_keyword("and") and not nodes:
                self.fail("a term is missing before `and`")
            if self._keyword("and"):
                after = "and"
            else:
                nodes.append(self.unary(depth))
                after = ""
        if after or not nodes:
            self._fail_missing(after, depth)
        return nodes[0] if len(nodes) == 1 else All(tuple(nodes))

    def _fail_missing(self, after: str, depth: int) -> NoReturn:
        if after:
            self.fail(f"a term is missing after `{after}`")
        if self._is_keyword("or"):
            self.fail("a term is missing before `or`")
        if self.is_at_end:
            self.fail("a term is missing")
        self.fail("these parentheses are empty" if depth else "this parenthesis was never opened")

    def unary(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} levels of parentheses")
        if self.text[self.at] == "-":
            at = self.at
            self.at += 1
            if self.is_at_end or self.text[self.at].isspace() or self.text[self.at] == ")":
                self.fail("`-` needs a term right after it", at)
            return Not(self.unary(depth + 1))
        if self._keyword("not"):
            if self.is_at_end or self.text[self.at] == ")":
                self.fail("a term is missing after `not`")
            return Not(self.unary(depth + 1))
        return self.primary(depth)

    def primary(self, depth: int) -> Node:
        self.terms += 1
        if self.terms > MAX_TERMS:
            self.fail(f"a query may have {MAX_TERMS} terms")
        if self.text[self.at] != "(":
            return self.term()
        opened = self.at
        self.at += 1
        self.skip_spaces()
        node = self.either(depth + 1)
        if self.is_at_end:
            self.fail("this parenthesis is never closed", opened)
        self.at += 1
        self.skip_spaces()
        return node

    def term(self) -> Node:
        """Read a text, or a field with an operator and a value."""
        at = self.at
        if self.text[at] == '"':
            word, is_quoted = self._quoted(), True
        else:
            word, is_quoted = self._word(), False
        operator = _OPERATOR.match(self.text, self.at)
        if not operator or not (is_quoted or _KEY.fullmatch(word)):
            return Words(self._text(at, word, is_quoted))
        if operator[1] not in OPERATORS and not operator[1].startswith(OPERATORS):
            self._fail_operator(operator)
        return self._comparison(at, word, is_quoted, operator)

    def _word(self) -> str:
        found = _WORD.match(self.text, self.at)
        if not found:
            symbol = self.text[self.at]
            if symbol == "!":
                self.fail("put - or `not` before a term to exclude it")
            self.fail(f"a field is missing before `{symbol}`; put quotes around a text with {symbol} in it")
        self.at = found.end()
        return found[0]

    def _text(self, at: int, word: str, is_quoted: bool) -> str:
        """Return a text: what is quoted, or all up to the next space or parenthesis, such as 10:05."""
        if is_quoted:
            if not self.is_at_end and not self.text[self.at].isspace() and self.text[self.at] not in "()":
                self.fail("a space is missing after the quotation mark")
            if not word.strip():
                self.fail("the quotation marks are empty", at)
        else:
            self.at = self._end_of_value(at)
            word = self.text[at : self.at]
            if word in SYMBOLS:
                self.fail(f"write `{SYMBOLS[word]}`, or put quotes around it", at)
            if '"' in word:
                self.fail("a space is missing before the quotation mark", at + word.index('"'))
        self.skip_spaces()
        return word

    def _fail_operator(self, operator: re.Match[str]) -> NoReturn:
        signs = operator[1]
        advice = MISSPELLED.get(signs[:2], f"one of {' '.join(OPERATORS)} is expected")
        self.fail(f"`{signs}` is no operator: {advice}", operator.start(1))

    def _comparison(self, at: int, key: str, is_quoted: bool, operator: re.Match[str]) -> Node:
        signs = operator[1]
        if signs[:2] in MISSPELLED:
            self._fail_operator(operator)
        sign = next(one for one in OPERATORS if signs.startswith(one))
        self.at = operator.start(1) + len(sign)
        self.skip_spaces()
        value_at = self.at
        if self.is_at_end or self.text[self.at] == ")":
            self.fail(f"a value is missing after `{key}{sign}`")
        value_is_quoted = self.text[self.at] == '"'
        if value_is_quoted:
            value = self._quoted()
            if not self.is_at_end and not self.text[self.at].isspace() and self.text[self.at] not in "()":
                self.fail("a space is missing after the quotation mark")
        else:
            self.at = self._end_of_value(self.at)
            value = self.text[value_at : self.at]
            if value.startswith("//"):
                self.fail("put quotes around an address", at)
        self.skip_spaces()
        name = "" if is_quoted else ALIASES.get(key.lower(), key.lower())
        given = _Given(value, value_is_quoted, sign, at, operator.start(1), value_at)
        if name == "exists":
            return _exists(given)
        if name in FIELDS:
            return Term(name, "", FIELD_TESTS[name](name, given), at)
        return Term(ATTRIBUTE, key, _text_or_number(key, given), at)

    def _end_of_value(self, at: int) -> int:
        """Return where an unquoted value ends: at a space, or at a parenthesis that it did not open."""
        depth = 0
        while at < len(self.text) and not self.text[at].isspace():
            if self.text[at] == "(":
                depth += 1
            elif self.text[at] == ")":
                if not depth:
                    break
                depth -= 1
            at += 1
        return at

    def _quoted(self) -> str:
        """Read a quoted text; a backslash makes the next quotation mark or backslash a part of it."""
        opened = self.at
        text = []
        self.at += 1
        while not self.is_at_end and self.text[self.at] != '"':
            if self.text[self.at] == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\"):
                self.at += 1
            text.append(self.text[self.at])
            self.at += 1
        if self.is_at_end:
            self.fail("this quotation mark is never closed", opened)
        self.at += 1
        return "".join(text)

    def _keyword(self, word: str) -> bool:
        """Skip a keyword if it is next."""
        if not self._is_keyword(word):
            return False
        self.at += len(word)
        self.skip_spaces()
        return True

    def _is_keyword(self, word: str) -> bool:
        end = self.at + len(word)
        if self.text[self.at : end].lower() != word:
            return False
        behind = self.text[end : end + 1]
        # `or(a b)` is a keyword; `or:x`, `order` and `and.more` are not, nor is `not =x`.
        return (not behind or behind.isspace() or behind in '()"') and not _OPERATOR.match(self.text, end)


@dataclass(frozen=True)
class _Given:
    """A value as it was typed, its operator, and where the term, the operator and the value begin."""

    value: str
    is_quoted: bool
    operator: str
    at: int
    operator_at: int
    value_at: int

    def refuse_value(self, problem: str) -> NoReturn:
        raise QueryError(self.value_at, problem)

    def refuse_operator(self, problem: str) -> NoReturn:
        raise QueryError(self.operator_at, problem)


def _exists(given: _Given) -> Term:
    if given.operator not in (":", "="):
        given.refuse_operator("write exists:key")
    name = "" if given.is_quoted else ALIASES.get(given.value.lower(), given.value.lower())
    if name in FIELDS:
        return Term(name, "", Exists(), given.at)
    return Term(ATTRIBUTE, given.value, Exists(), given.at)


def _text_or_number(name: str, given: _Given) -> ValueTest:
    if given.operator in ("=", "!="):
        test = Equals(given.value)
        return Differs(test) if given.operator == "!=" else test
    if given.operator == ":":
        return _match(given)
    limit = number(given.value)
    if limit is None:
        given.refuse_value(f"`{name}{given.operator}` compares numbers, and {given.value[:80]!r} is none")
    return Compares(given.operator, limit)


def _match(given: _Given) -> ValueTest:
    if given.is_quoted or "*" not in given.value:
        return Contains(given.value)
    return Pattern(given.value) if given.value.strip("*") else Exists()


def _text(name: str, given: _Given) -> ValueTest:
    if given.operator not in (":", "=", "!="):
        given.refuse_operator(f"{name} is a text: write {name}: or {name}= or {name}!=")
    return _text_or_number(name, given)


def _body(name: str, given: _Given) -> ValueTest:
    test = _text(name, given)
    return Contains(test.text, inside=True) if isinstance(test, Contains) else test


def _time(name: str, given: _Given) -> ValueTest:
    if given.operator not in (">", ">=", "<", "<="):
        given.refuse_operator(f"compare {name} by > or <, such as {name}>500ms")
    limit = microseconds(given.value)
    if limit is None:
        hint = "with its unit" if number(given.value) is not None else "such as 500ms, 1.5s or 2m"
        example = f", such as {given.value}ms" if number(given.value) is not None else ""
        given.refuse_value(f"{given.value[:80]!r} is no duration: write it {hint}{example}")
    return Compares(given.operator, limit)


def _one_of(name: str, words: tuple[str, ...], given: _Given) -> ValueTest:
    if given.operator not in (":", "=", "!="):
        given.refuse_operator(f"write {name}:{words[0]}")
    word = given.value.lower()
    if word not in words:
        given.refuse_value(f"{name} is one of {', '.join(words)}, not {given.value[:80]!r}")
    return OneOf(frozenset(words) - {word} if given.operator == "!=" else frozenset({word}))


def _level(name: str, given: _Given) -> ValueTest:
    level = LEVEL_ALIASES.get(given.value.upper(), given.value.upper())
    if level not in LEVELS:
        # A sender that gives no severity number gives a word of its own.
        if given.is_quoted and given.operator in (":", "="):
            return OneOf(frozenset({level}))
        given.refuse_value(f"{name} is one of {', '.join(LEVELS)}, not {given.value[:80]!r}")
    if given.operator in (":", "="):
        return OneOf(frozenset({level}))
    if given.operator == "!=":
        return Differs(OneOf(frozenset({level})))
    limit = Compares(given.operator, LEVELS.index(level))
    return OneOf(frozenset(one for place, one in enumerate(LEVELS) if limit.compare(place)))


def _trace(name: str, given: _Given) -> ValueTest:
    if given.operator not in (":", "="):
        given.refuse_operator(f"write {name}: and the id or its first digits")
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", given.value):
        given.refuse_value(f"a trace id has up to 32 hex digits; {given.value[:80]!r} is none")
    return Begins(given.value.lower())


FIELD_TESTS: dict[str, Callable[[str, _Given], ValueTest]] = {
    "service": _text,
    "operation": _text,
    "duration": _time,
    "total": _time,
    "status": lambda name, given: _one_of(name, STATUSES, given),
    "kind": lambda name, given: _one_of(name, KINDS, given),
    "trace": _trace,
    "level": _level,
    "logger": _text,
    "body": _body,
}


def _end(expression: re.Pattern[str], text: str, at: int) -> int:
    found = expression.match(text, at)
    return found.end() if found else at
