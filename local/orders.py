"""Place an order, and print it or why it was refused, with its trace."""

from typing import Any

from rich.text import Text

from local import client
from local.client import TraceApi
from local.console import errors, out, print_json
from waybill_explorer import terminal
from waybill_explorer.client import ClientError, json_of
from waybill_explorer.client import as_json as trace_as_json
from waybill_explorer.terminal import clean


def place(
    api: str,
    traces: TraceApi,
    body: dict[str, Any],
    *,
    key: str | None = None,
    wait: bool = True,
    deadline: float = 30.0,
    everything: bool = False,
    as_json: bool = False,
) -> bool:
    """Place an order and print it and its trace, which is awaited until nothing has come for `deadline` seconds.

    Return whether the order was taken.
    """
    response = client.place_order(api, body, key)
    trace_id = client.trace_id_of(response)
    answer = json_of(response)
    if not isinstance(answer, dict) or not answer.keys() & {"id", "title"}:
        raise ClientError(f"{response.url} responds with {response.status_code} and not with an order. Check --api.")
    if not as_json:
        _print_order(answer, api) if response.ok else _print_problem(answer)
    fetched = None
    if wait and trace_id:
        with errors.status("Waiting for the trace; services send spans in batches"):
            fetched = traces.wait_for_trace(trace_id, deadline)
    if as_json:
        print_json({"order" if response.ok else "problem": answer, "trace_id": trace_id, **trace_as_json(fetched)})
    elif fetched and trace_id:
        out.print()
        terminal.print_trace(out, fetched, traces.link(trace_id), everything=everything)
    elif trace_id:
        late = "Its trace has not arrived. Run `waybill doctor` to see if the backend is running.\n" if wait else ""
        out.print(Text(late + traces.link(trace_id)), soft_wrap=True)
    elif wait:
        out.print(Text("The response has no `traceresponse` header, so its trace cannot be found.", "yellow"))
    return response.ok


def _print_order(order: dict[str, Any], api: str) -> None:
    text, status = Text("Order "), clean(order.get("status"))
    text.append(clean(order.get("id")), "bold").append(" ")
    text.append(status, {"CONFIRMED": "bold green", "CANCELLED": "bold red"}.get(status, "bold yellow"))
    text.append(f" {clean(order['reason'])}" if order.get("reason") else "", "red")
    if order.get("total") is not None:
        text.append(f" · {order['total'] / 100:.2f} {clean(order.get('currency'))}")
    out.print(text, soft_wrap=True)
    goods = (f"{line.get('quantity')} x {clean(line.get('sku'))}" for line in order.get("lines", []))
    out.print(Text(", ".join(goods), "dim"))
    if status not in ("CONFIRMED", "CANCELLED"):
        out.print(Text(f"It is still being processed: curl {api}/orders/{clean(order.get('id'))}", "yellow"))


def _print_problem(problem: dict[str, Any]) -> None:
    text = Text().append(clean(f"{problem.get('status', '')} {problem.get('title', 'refused')}"), "bold red")
    fields = problem.get("errors")
    out.print(text if fields else text.append(f": {clean(problem.get('detail', ''))}"))
    for error in fields or []:
        out.print(Text(f"  {clean(error.get('field'))}: {clean(error.get('reason'))}", "red"))
