"""Words for what a span did: its title, its short SQL, where its call went."""

from typing import Any

from waybill_explorer.titles import is_sql, peer, short_sql, title
from waybill_explorer.trace_tree import Span, read_trace

from .jaeger_json import span, trace


def span_of(name: str, tags: dict[str, Any], kind: str = "client") -> Span:
    return read_trace(trace(span("a", name, 0, 1, kind=kind, tags=tags))).root


def test_the_title_of_a_span_is_its_name() -> None:
    assert title(span_of("GET /orders", {})) == "GET /orders"
    assert title(span_of(" two\n lines ", {})) == "two lines"


def test_the_title_of_a_statement_is_its_sql_shortened_whichever_convention_names_it() -> None:
    statement = 'SELECT "orders"."id", orders.status FROM orders WHERE orders.id = ?'
    for key in ("db.query.text", "db.statement"):
        assert title(span_of("SELECT orders", {key: statement})) == "SELECT … FROM orders WHERE id = ?"


def test_the_title_of_a_command_of_a_database_without_sql_has_the_database_s_name() -> None:
    assert title(span_of("GET", {"db.query.text": "GET ?", "db.system.name": "redis"})) == "redis GET ?"
    assert title(span_of("GET", {"db.statement": "GET ?", "db.system": "redis"})) == "redis GET ?"
    assert title(span_of("GET", {"db.statement": "GET ?"})) == "GET ?"


def test_sql_loses_column_lists_quotes_and_the_table_s_own_qualifier() -> None:
    assert short_sql("INSERT INTO orders (id, status) VALUES (?, ?)") == "INSERT INTO orders"
    assert short_sql("UPDATE orders SET status=?, total=? WHERE orders.id = ?") == "UPDATE orders SET … WHERE id = ?"
    assert short_sql("  DELETE\n FROM orders\tWHERE id = ? ") == "DELETE FROM orders WHERE id = ?"


def test_a_title_has_4000_characters_at_most() -> None:
    assert len(title(span_of("x" * 100_000, {}))) == 4000


def test_a_command_of_redis_is_no_sql() -> None:
    assert is_sql("select 1")
    assert is_sql("\n WITH x AS (SELECT 1) SELECT * FROM x")
    assert not is_sql("SELECTED")
    assert not is_sql("HGETALL ?")


def test_a_bare_client_call_says_where_it_went_without_scheme_and_query() -> None:
    tags = {"url.full": "http://127.0.0.1:8081/items?secret=1#top"}
    assert peer(span_of("GET", tags)) == "127.0.0.1:8081/items"
    assert peer(span_of("GET /items", tags)) == ""
    assert peer(span_of("GET", tags, kind="server")) == ""
    assert peer(span_of("GET", {})) == ""
