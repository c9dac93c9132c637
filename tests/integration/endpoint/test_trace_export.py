"""Spans are sent to OpenTelemetry as they end, and an endpoint that does it badly costs nobody anything."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from squire_pipelines.endpoint import trace_export
from squire_pipelines.endpoint.trace_export import CURSOR, ExportTimes, SentUntil, TraceExport, ended_spans
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.observability import TracingSettings
from squire_pipelines.settings.model import Settings
from tests.support.children import wait_until
from tests.support.ledgers import Clock, sqlite_ledger_file
from tests.support.otlp_receiver import PATIENCE_S, Manner, receiving
from tests.support.stories import SECRET_TITLE, Story, write_story

OFTEN = ExportTimes(every_s=0.02, send_s=PATIENCE_S, share=1)
Export = Callable[..., TraceExport]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A story that ended a minute ago."""
    clock = Clock(datetime.now(UTC) - timedelta(minutes=5))
    ledger = Ledger(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}", clock=clock)
    try:
        return write_story(ledger, clock)
    finally:
        ledger.close()


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """An export from the test's ledger to an endpoint."""
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))

    def make(url: str, *, times: ExportTimes = OFTEN, **values: object) -> TraceExport:
        tracing = TracingSettings.model_validate({"endpoint": url, **values})
        settings = Settings(ledger_url=f"sqlite:///{tmp_path / 'ledger.sqlite'}", tracing=tracing)
        return TraceExport(lambda: settings, tmp_path / "metrics", times=times)

    return make


def spans_in(request: ExportTraceServiceRequest) -> list[OtlpSpan]:
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    return list(scope.spans)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def has_cursor(tmp_path: Path) -> bool:
    return (tmp_path / "metrics" / CURSOR).exists()


def test_what_ended_is_sent_once_and_a_restart_sends_nothing_again(
    tmp_path: Path, story: Story, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OTLP_HEADERS", "api-key=abc%20def,x-team=core")
    with receiving() as receiver:
        with export(receiver.url):
            request = receiver.next()
            wait_until(lambda: has_cursor(tmp_path))
        sent = spans_in(request)
        assert {span.trace_id.hex() for span in sent} == {story.trace_id}
        assert len({span.span_id for span in sent}) == len(sent) == 16
        headers = receiver.headers.get(timeout=PATIENCE_S)
        assert headers[":first"] == "POST /v1/traces HTTP/1.1"
        assert (headers["api-key"], headers["x-team"]) == ("abc def", "core")
        assert headers["content-type"] == "application/x-protobuf"
        before = (tmp_path / "metrics" / CURSOR).read_bytes()
        with export(receiver.url):
            wait_until(lambda: (tmp_path / "metrics" / CURSOR).read_bytes() != before)
        assert receiver.requests.empty()
    assert SECRET_TITLE.encode() not in request.SerializeToString()


def test_nothing_is_sent_of_traces_that_are_not_sampled(tmp_path: Path, story: Story, export: Export) -> None:
    assert story.trace_id
    with receiving() as receiver:
        with export(receiver.url, sample_ratio=0):
            wait_until(lambda: has_cursor(tmp_path))
        assert receiver.requests.empty()


def test_an_endpoint_that_refuses_is_told_once_and_gets_everything_when_it_is_back(
    tmp_path: Path, story: Story, export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="squire")
    with receiving(503) as receiver:
        with export(receiver.url):
            receiver.next()
            receiver.next()
            assert not has_cursor(tmp_path)
            receiver.manner = Manner.TAKES
            wait_until(lambda: has_cursor(tmp_path))
        last = receiver.next()
        while not receiver.requests.empty():
            last = receiver.next()
    assert {span.trace_id.hex() for span in spans_in(last)} == {story.trace_id}
    assert messages(caplog) == ["traces cannot be sent", "traces are sent again"]


def test_an_endpoint_that_is_not_there_is_told_once_and_gets_everything_when_it_is(
    tmp_path: Path, story: Story, export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="squire")
    with receiving() as receiver:
        port = receiver.port
    with export(f"http://127.0.0.1:{port}"):
        wait_until(lambda: bool(caplog.records))
        with receiving(port=port) as receiver:
            assert {span.trace_id.hex() for span in spans_in(receiver.next())} == {story.trace_id}
            wait_until(lambda: has_cursor(tmp_path))
    assert messages(caplog) == ["traces cannot be sent", "traces are sent again"]


@pytest.mark.parametrize("manner", [Manner.SWALLOWS, Manner.TRICKLES])
def test_an_endpoint_that_never_answers_is_left_after_the_time_of_a_request(
    story: Story, export: Export, caplog: pytest.LogCaptureFixture, manner: Manner
) -> None:
    assert story.trace_id
    with receiving(manner) as receiver, export(receiver.url, times=replace(OFTEN, send_s=1)):
        assert receiver.hung_up.get(timeout=PATIENCE_S)
        wait_until(lambda: bool(caplog.records))
    assert messages(caplog) == ["traces cannot be sent"]


def test_the_end_of_the_process_waits_for_no_answer(story: Story, export: Export) -> None:
    assert story.trace_id
    with receiving(Manner.SWALLOWS) as receiver:
        with export(receiver.url):
            receiver.next()
        assert receiver.hung_up.get(timeout=PATIENCE_S)
    assert "squire-traces" not in {thread.name for thread in threading.enumerate()}


def test_what_an_endpoint_refuses_for_good_is_told_and_not_sent_again(
    tmp_path: Path, story: Story, export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    assert story.trace_id
    with receiving(400) as receiver:
        with export(receiver.url):
            wait_until(lambda: has_cursor(tmp_path))
        assert receiver.requests.qsize() == 1
    assert messages(caplog) == ["traces were refused"]


def test_a_part_that_was_not_taken_is_told(
    tmp_path: Path, story: Story, export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    assert story.trace_id
    with receiving(Manner.TAKES_A_PART) as receiver, export(receiver.url):
        wait_until(lambda: has_cursor(tmp_path))
    (record,) = caplog.records
    assert record.__dict__["squire_values"]["reason"] == "3 spans were not taken"


def test_what_was_taken_is_not_sent_again_with_what_was_not(
    tmp_path: Path, story: Story, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert story.trace_id
    monkeypatch.setattr(trace_export, "SPANS_AT_ONCE", 10)
    with receiving() as receiver:
        with export(receiver.url):
            first = receiver.next()
            receiver.manner = 503
            wait_until(lambda: receiver.requests.qsize() > 0 or has_cursor(tmp_path))
            receiver.manner = Manner.TAKES
            wait_until(lambda: has_cursor(tmp_path))
        rest = [span.span_id for _ in range(receiver.requests.qsize()) for span in spans_in(receiver.next())]
    own = {span.span_id for span in spans_in(first)}
    assert len(own) == 10
    assert len(set(rest)) == 6
    assert own.isdisjoint(rest)


def test_only_one_of_two_processes_sends(tmp_path: Path) -> None:
    with SentUntil(tmp_path / CURSOR).lock() as first, SentUntil(tmp_path / CURSOR).lock() as second:
        assert (first, second) == (True, False)
    with SentUntil(tmp_path / CURSOR).lock() as third:
        assert third


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"until": "soon"}', '{"until": "2026-03-01"}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / CURSOR).write_text(content, encoding="utf-8")
    assert SentUntil(tmp_path / CURSOR).load() is None


def test_without_the_extra_it_is_said_what_to_install(
    story: Story, export: Export, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert story.trace_id
    monkeypatch.setitem(sys.modules, "squire_pipelines.endpoint.otlp_spans", None)
    with receiving() as receiver, export(receiver.url):
        wait_until(lambda: bool(caplog.records))
    (record,) = caplog.records
    assert "install squire-pipelines[otel]" in record.__dict__["squire_values"]["reason"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[tuple[Ledger, Clock]]:
    clock = Clock()
    opened = Ledger(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}", clock=clock)
    yield opened, clock
    opened.close()


def test_what_ended_is_found_step_by_step_and_what_is_older_than_a_day_is_not(ledger: tuple[Ledger, Clock]) -> None:
    opened, clock = ledger
    story = write_story(opened, clock)
    with opened.read() as tx:
        early, until = ended_spans(tx, None, ratio=1)
    assert "merged" not in {span.name for span in early}  # a transaction may still be under way
    clock.forward(60)
    with opened.read() as tx:
        late, last = ended_spans(tx, until, ratio=1)
        assert ended_spans(tx, last, ratio=1)[0] == ()
        assert ended_spans(tx, last + timedelta(days=9), ratio=1)[0] == ()  # a clock that was ahead
    assert {span.kind for span in late} == {"pull_request", "pull_state"}
    assert len({span.span_id for span in (*early, *late)}) == 16
    assert {span.trace_id for span in early} == {story.trace_id}
    clock.forward(86_400)
    with opened.read() as tx:
        assert ended_spans(tx, None, ratio=1)[0] == ()


def test_many_changes_are_found_a_bounded_number_at_a_time(
    ledger: tuple[Ledger, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, clock = ledger
    write_story(opened, clock)
    clock.forward(60)
    with opened.read() as tx:
        whole, end = ended_spans(tx, None, ratio=1)
        monkeypatch.setattr(trace_export, "ROWS_AT_ONCE", 1)
        seen, after = set(), None
        for _ in range(40):
            spans, after = ended_spans(tx, after, ratio=1)
            seen |= {span.span_id for span in spans}
            if after == end:
                break
    assert after == end
    assert seen == {span.span_id for span in whole}


@pytest.mark.slow
def test_the_endpoints_process_ends_as_ever_when_the_collector_never_answers(tmp_path: Path, story: Story) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUIRE_", "OTEL_"))}
    own = {"SQUIRE_HOME": str(tmp_path), "SQUIRE_OBSERVABILITY__PORT": "0"}
    with receiving(Manner.SWALLOWS) as receiver:
        process = subprocess.Popen(
            [sys.executable, "-m", "squire_pipelines.endpoint"],
            env=kept | own | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["url"]
            assert {span.trace_id.hex() for span in spans_in(receiver.next())} == {story.trace_id}
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert errors.count("traces cannot be sent") <= 1
