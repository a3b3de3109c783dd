"""What a receiver gets over gRPC and HTTP: through retries, compression, forks, threads and greenlets."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import greenlet
import grpc
import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_spans
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult

from waybill_lean.logs import LoggerProvider
from waybill_lean.trace import Span, TracerProvider

from .receiver import Receiver, receiving

RESOURCE = Resource({"service.name": "kettle"})
PROTOCOLS = ["grpc", "http"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def exporter(receiver: Receiver, protocol: str, **options: Any) -> Any:
    if protocol == "grpc":
        return grpc_spans.OTLPSpanExporter(receiver.grpc, **options)
    return http_spans.OTLPSpanExporter(f"{receiver.http}/v1/traces", **options)


def provider_of(*processors: Any) -> TracerProvider:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spans_arrive_with_the_exporter_s_headers_and_compression(receiver: Receiver, protocol: str) -> None:
    compression: Any = grpc.Compression.Gzip if protocol == "grpc" else Compression.Gzip
    sender = exporter(receiver, protocol, headers={"x-tenant": "blue"}, compression=compression)
    provider = provider_of(BatchSpanProcessor(sender))
    with provider.get_tracer("t", "1").start_as_current_span("boil", attributes={"liters": 2}):
        pass
    provider.shutdown()
    (request,) = receiver.requests
    assert request.resource_spans[0].resource.attributes[0].value.string_value == "kettle"
    assert [(span.name, span.attributes[0].value.int_value) for span in receiver.spans] == [("boil", 2)]
    assert receiver.headers[0]["x-tenant"] == "blue"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_log_records_arrive(receiver: Receiver, protocol: str) -> None:
    sender: Any
    if protocol == "grpc":
        sender = grpc_logs.OTLPLogExporter(receiver.grpc)
    else:
        sender = http_logs.OTLPLogExporter(f"{receiver.http}/v1/logs")
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(sender))
    provider.get_logger("l").emit(LogRecord(body="it boils", attributes={"a": 1}))
    provider.shutdown()
    assert [record.body.string_value for record in receiver.records] == ["it boils"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_refused_request_is_sent_again(receiver: Receiver, protocol: str) -> None:
    # UNAVAILABLE makes the gRPC exporter connect anew.
    receiver.refusals.append(grpc.StatusCode.UNAVAILABLE if protocol == "grpc" else 503)
    provider = provider_of(SimpleSpanProcessor(exporter(receiver, protocol)))
    provider.get_tracer("t").start_span("again").end()
    provider.shutdown()
    assert [span.name for span in receiver.spans] == ["again"]


def test_a_request_over_the_size_limit_is_dropped_and_counted_as_failed(receiver: Receiver) -> None:
    sender = exporter(receiver, "http", max_request_size=10)
    provider = provider_of(SimpleSpanProcessor(sender))
    provider.get_tracer("t").start_span("x" * 20).end()
    span: Any = provider.get_tracer("t").start_span("y")
    assert sender.export([span]) is SpanExportResult.FAILURE
    provider.shutdown()
    assert receiver.requests == []
    assert sender.export([span]) is SpanExportResult.FAILURE


def test_each_of_several_processors_gets_each_span(receiver: Receiver) -> None:
    class Collect(SpanExporter):
        def __init__(self) -> None:
            self.names: list[str] = []

        def export(self, spans: Any) -> SpanExportResult:
            self.names += [span.name for span in spans]
            return SpanExportResult.SUCCESS

    collect = Collect()
    both = [BatchSpanProcessor(exporter(receiver, protocol)) for protocol in PROTOCOLS]
    provider = provider_of(*both, SimpleSpanProcessor(collect))
    provider.get_tracer("t").start_span("a").end()
    provider.shutdown()
    assert [span.name for span in receiver.spans] == ["a", "a"]
    assert collect.names == ["a"]


def test_an_exporter_that_fails_costs_only_its_batch(receiver: Receiver) -> None:
    class Failing(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            raise RuntimeError(len(spans))

    provider = provider_of(
        SimpleSpanProcessor(Failing()), BatchSpanProcessor(Failing()), BatchSpanProcessor(exporter(receiver, "grpc"))
    )
    for _ in range(3):
        provider.get_tracer("t").start_span("a").end()
    provider.shutdown()
    assert len(receiver.spans) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_forked_process_sends_its_own_spans_and_none_of_its_parent_s(receiver: Receiver, protocol: str) -> None:
    # The exporter of the child is its own, as under gunicorn: gRPC's channels do not outlive a fork.
    sender = None if protocol == "grpc" else exporter(receiver, protocol)
    parent = provider_of(*([] if sender is None else [BatchSpanProcessor(sender)]))
    tracer = parent.get_tracer("t")
    tracer.start_span("of the parent").end()
    pid = os.fork()
    if pid == 0:
        try:
            if sender is None:
                parent.add_span_processor(SimpleSpanProcessor(exporter(receiver, protocol)))
            tracer.start_span("of the child").end()
            parent.force_flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    parent.shutdown()
    names = Counter(span.name for span in receiver.spans)
    assert names["of the child"] == 1
    assert names["of the parent"] == (0 if sender is None else 1)


def test_no_span_of_many_threads_is_lost_or_sent_twice(receiver: Receiver) -> None:
    provider = provider_of(BatchSpanProcessor(exporter(receiver, "http"), max_queue_size=20000))
    shared: list[Any] = [provider.get_tracer("t").start_span(f"shared {number}") for number in range(50)]
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        tracer = provider.get_tracer(f"tracer {number % 3}")
        ready.wait()
        for item in range(200):
            with tracer.start_as_current_span(f"{number}-{item}", attributes={"n": item}) as span:
                span.set_attribute("again", item)
        for span in shared:
            for item in range(5):
                span.set_attribute(f"{number}.{item}", item)
            span.add_event("done")
            span.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.shutdown()
    names = Counter(span.name for span in receiver.spans)
    assert names == Counter([span.name for span in shared] + [f"{n}-{item}" for n in range(8) for item in range(200)])
    assert len({span.span_id for span in receiver.spans}) == 8 * 200 + 50


def test_greenlets_have_their_own_current_span(receiver: Receiver) -> None:
    provider = provider_of(BatchSpanProcessor(exporter(receiver, "http")))
    tracer = provider.get_tracer("t")

    def work(number: int) -> None:
        with tracer.start_as_current_span(f"outer {number}") as outer:
            main.switch()
            with tracer.start_as_current_span(f"inner {number}"):
                main.switch()
            assert trace.get_current_span() is outer
            main.switch()

    main = greenlet.getcurrent()
    workers = [greenlet.greenlet(work) for _ in range(20)]
    for _ in range(4):
        for number, worker in enumerate(workers):
            worker.switch(number)
    assert all(worker.dead for worker in workers)
    provider.shutdown()
    by_name = {span.name: span for span in receiver.spans}
    assert len(by_name) == 40
    for number in range(20):
        assert by_name[f"inner {number}"].parent_span_id == by_name[f"outer {number}"].span_id
        assert not by_name[f"outer {number}"].parent_span_id


def test_a_lean_span_is_what_instrumentors_take_for_a_span() -> None:
    from opentelemetry.sdk.trace import ReadableSpan

    span = provider_of().get_tracer("t").start_span("a")
    assert isinstance(span, Span)
    assert isinstance(span, ReadableSpan)
    assert isinstance(span, trace.Span)
