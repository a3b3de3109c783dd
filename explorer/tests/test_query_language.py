"""The query language: what a text means, and where it is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill_explorer.query_language import (
    ATTRIBUTE,
    EVERYTHING,
    MAX_LENGTH,
    All,
    Either,
    Node,
    Not,
    QueryError,
    Term,
    Words,
    parse,
)
from waybill_explorer.value_tests import Begins, Compares, Contains, Differs, Equals, Exists, OneOf, Pattern, ValueTest


def term(field: str, test: ValueTest, position: int = 0) -> Term:
    return Term(field, "", test, position)


def attribute(key: str, test: ValueTest, position: int = 0) -> Term:
    return Term(ATTRIBUTE, key, test, position)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", EVERYTHING),
        ("  \t ", EVERYTHING),
        ("declined", Words("declined")),
        ('"card declined"', Words("card declined")),
        (r'"say \"no\" \\ yes"', Words(r'say "no" \ yes')),
        ("service:order", term("service", Contains("order"))),
        ("SERVICE:order", term("service", Contains("order"))),
        ("name=x", term("operation", Equals("x"))),
        ('operation:"POST /orders"', term("operation", Contains("POST /orders"))),
        ("service:order*", term("service", Pattern("order*"))),
        ('path:"a*"', attribute("path", Contains("a*"))),
        ("path:*", attribute("path", Exists())),
        ("order.region=ap", attribute("order.region", Equals("ap"))),
        ("order.region!=ap", attribute("order.region", Differs(Equals("ap")))),
        ('"my key"=1', attribute("my key", Equals("1"))),
        ('"status"=1', attribute("status", Equals("1"))),
        ("http.response.status_code>=500", attribute("http.response.status_code", Compares(">=", 500))),
        ("n < -1.5", attribute("n", Compares("<", -1.5))),
        ("http.route=/items/<int:id>", attribute("http.route", Equals("/items/<int:id>"))),
        ("f=g(x)", attribute("f", Equals("g(x)"))),
        ("(f=g)", attribute("f", Equals("g"), 1)),
        ("duration>1.5ms", term("duration", Compares(">", 1_500))),
        ("total<=1m30s", term("total", Compares("<=", 90_000_000))),
        ("status:error", term("status", OneOf(frozenset({"error"})))),
        ("status!=ok", term("status", OneOf(frozenset({"error", "refused"})))),
        ("kind:Server", term("kind", OneOf(frozenset({"server"})))),
        ("level>=warning", term("level", OneOf(frozenset({"WARN", "ERROR", "FATAL"})))),
        ('level:"notice"', term("level", OneOf(frozenset({"NOTICE"})))),
        ("trace:4BF9", term("trace", Begins("4bf9"))),
        ("body:100", term("body", Contains("100", inside=True))),
        ("exists:exception.type", attribute("exception.type", Exists())),
        ("exists:trace", term("trace", Exists())),
        ("a b", All((Words("a"), Words("b")))),
        ("a and b", All((Words("a"), Words("b")))),
        ("a or b c", Either((Words("a"), All((Words("b"), Words("c")))))),
        ("(a OR b) c", All((Either((Words("a"), Words("b"))), Words("c")))),
        ("-a", Not(Words("a"))),
        ("not -a", Not(Not(Words("a")))),
        ("-(a b)", Not(All((Words("a"), Words("b"))))),
        ('not"a"', Not(Words("a"))),
        ("10:05", Words("10:05")),
        ("nothing order andy", All((Words("nothing"), Words("order"), Words("andy")))),
        ("hello!", Words("hello!")),
        ("50%", Words("50%")),
        ("or:x", attribute("or", Contains("x"))),
    ],
)
def test_a_text_means(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("duration>500", 9, "'500' is no duration: write it with its unit, such as 500ms"),
        ("duration>soon", 9, "'soon' is no duration: write it such as 500ms, 1.5s or 2m"),
        ("duration:500ms", 8, "compare duration by > or <, such as duration>500ms"),
        ("status:failed", 7, "status is one of error, refused, ok, not 'failed'"),
        ("status>ok", 6, "write status:error"),
        ("level:eror", 6, "level is one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL, not 'eror'"),
        ("kind:x", 5, "kind is one of server, client, internal, producer, consumer, not 'x'"),
        ("trace:xyz", 6, "a trace id has up to 32 hex digits; 'xyz' is none"),
        ("service>a", 7, "service is a text: write service: or service= or service!="),
        ("a.b>=x", 5, "`a.b>=` compares numbers, and 'x' is none"),
        ("a=", 2, "a value is missing after `a=`"),
        ("service: ", 9, "a value is missing after `service:`"),
        ("a==b", 1, "`==` is no operator: write ="),
        ("a=>5", 1, "`=>` is no operator: write >="),
        ("a:>5", 1, "`:>` is no operator: write > without a colon"),
        ("a=~b", 1, "`=~` is no operator: regular expressions are not supported"),
        (">5", 0, "a field is missing before `>`; put quotes around a text with > in it"),
        ("!a", 0, "put - or `not` before a term to exclude it"),
        ("a !b", 2, "`!` is no operator: put - or `not` before a term to exclude it"),
        ('"abc', 0, "this quotation mark is never closed"),
        ('"a"b', 3, "a space is missing after the quotation mark"),
        ('a"b"', 1, "a space is missing before the quotation mark"),
        ('""', 0, "the quotation marks are empty"),
        ("(a", 0, "this parenthesis is never closed"),
        ("a)", 1, "this parenthesis was never opened"),
        (")", 0, "this parenthesis was never opened"),
        ("()", 1, "these parentheses are empty"),
        ("(", 1, "a term is missing"),
        ("a or", 4, "a term is missing after `or`"),
        ("or a", 0, "a term is missing before `or`"),
        ("and a", 0, "a term is missing before `and`"),
        ("a and", 5, "a term is missing after `and`"),
        ("not", 3, "a term is missing after `not`"),
        ("a - b", 2, "`-` needs a term right after it"),
        ("a && b", 2, "write `and`, or put quotes around it"),
        ("http://x/y", 0, "put quotes around an address"),
        ("exists>a", 6, "write exists:key"),
        ("-" * 60 + "a", 51, "more than 50 levels of parentheses"),
        ("a " * 101, 200, "a query may have 100 terms"),
        ("a" * (MAX_LENGTH + 1), MAX_LENGTH, "a query may have 4,000 characters"),
    ],
)
def test_a_mistake_is_explained_at_its_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(QueryError) as error:
        parse(text)
    assert error.value.problem.startswith(problem)
    assert error.value.position == position
    assert str(error.value).startswith(f"position {position + 1}: ")


PIECES = st.sampled_from(
    [*'()"\\-:=!<>~*&| ', "and", "or", "not", "exists", "status", "duration", "level", "trace", "a.b", "5", "5ms", "é"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_any_text_is_a_query_or_wrong_at_a_place_inside_it(text: str) -> None:
    place = 0
    try:
        parse(text)
    except QueryError as error:
        place = error.position
    assert 0 <= place <= len(text)


@pytest.mark.parametrize(
    ("test", "accepted", "refused"),
    [
        (Contains("50"), ["50", "50.0", "a50b"], ["500", "150"]),
        (Contains("Straße"), ["STRASSE 5"], ["stra"]),
        (Contains("100", inside=True), ["1000", "100 items"], ["10"]),
        (Pattern("a*c"), ["ABC", "ac", "a\nc"], ["abcd", "xac"]),
        (Equals("500"), ["500", "500.0", "5e2"], ["5000", "0500x"]),
        (Equals("ap"), ["ap"], ["AP", "apx"]),
        (Equals(str(2**60)), [str(2**60)], [str(2**60 + 1)]),
        (Differs(Equals("ap")), ["eu"], ["ap"]),
        (Compares(">=", 500), ["500", "503.5"], ["499", "many", ""]),
    ],
)
def test_a_value_is_compared_as_text_and_as_a_number(test: ValueTest, accepted: list[str], refused: list[str]) -> None:
    assert [value for value in accepted if not test.accepts(value)] == []
    assert [value for value in refused if test.accepts(value)] == []
    # The index has lost the capitals and must rule out nothing that fits.
    assert [value for value in accepted if not test.may_accept(value.casefold())] == []
