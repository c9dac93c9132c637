"""What a line of a log says, whoever wrote it, and which lines answer a query."""

import json
from datetime import UTC, datetime

import pytest

from squire_pipelines.domain.log_lines import (
    MAX_TEXT,
    LineOrigin,
    LogLine,
    LogQuery,
    continues,
    line_time,
    moment,
    parse_line,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
RUN = "e4965554-f3e4-4fc1-9175-041fff1c9461"
OURS = LineOrigin("pipeline", "run/code-server.log")


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        (b'{"event": "x", "timestamp": "2026-03-01T12:00:00.250000Z"}', NOON + 0.25),
        (b'{"event": "\\"timestamp\\": \\"2020-01-01T00:00:00Z", "timestamp": "2026-03-01T12:00:00Z"}', NOON),
        (b'{"path": "/v1", "started_at": "2026-03-01 13:00:00+01:00"}', NOON),
        (b"2026-03-01 12:00:00 +0000 - dagster - INFO - x", NOON),
        (b"\x1b[32m2026-03-01 12:00:00 +0000\x1b[0m - dagster.daemon - INFO - x", NOON),
        (b"[2026-03-01 12:00:00,5] x", NOON + 0.5),
        (b"2026-03-01T12:00:00Z [info     ] x", NOON),
        (b"2026-13-01T12:00:00Z x", None),
        (b'{"timestamp": "9999-12-31T23:59:59-14:00"}', None),
        (b"at 2026-03-01T12:00:00Z x", None),
        (b"{not JSON}", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_lines_time_is_found_without_reading_it_whole(raw: bytes, at: float | None) -> None:
    assert line_time(raw) == at


def test_a_line_of_ours_has_its_context_and_values() -> None:
    values = {
        "event": "delivery stored",
        "level": "info",
        "timestamp": "2026-03-01T12:00:00Z",
        "component": "webhooks",
        "trace_id": "t" * 32,
        "repository": "acme/shop",
        "relevant": True,
    }
    line = parse_line(json.dumps(values).encode() + b"\n", NOON, OURS)
    assert line == LogLine(
        NOON,
        "delivery stored",
        "info",
        "webhooks",
        "run/code-server.log",
        {"trace_id": "t" * 32, "repository": "acme/shop"},
        values={"relevant": True},
    )


def test_a_line_of_dagsters_has_its_level_and_run() -> None:
    raw = f"2026-03-01 12:00:00 +0000 - dagster - DEBUG - collect - {RUN} - 8959 - RUN_START - Started it.\n".encode()
    line = parse_line(raw, NOON, OURS)
    assert (line.level, line.run_id, line.text) == ("debug", RUN, "RUN_START - Started it.")
    assert line.values == {"job": "collect", "run": RUN}
    daemon = parse_line(
        b"\x1b[32m2026-03-01 12:00:00 +0000\x1b[0m - dagster.daemon - \x1b[33mWARNING\x1b[0m - x", NOON, OURS
    )
    assert (daemon.level, daemon.text, daemon.values) == ("warning", "x", {"logger": "dagster.daemon"})


def test_the_first_line_of_an_op_names_its_run() -> None:
    raw = json.dumps({"event": "op.started", "run_id": RUN, "job": "collect"}).encode()
    assert parse_line(raw, NOON, OURS).run_id == RUN


def test_text_for_people_is_read_as_json_is() -> None:
    raw = b"2026-03-01T12:00:00Z [error    ] agent.ended   attempt_id=t1-1 component=agent trace_id=abc a=1"
    line = parse_line(raw, NOON, OURS)
    assert (line.level, line.component) == ("error", "agent")
    assert line.context == {"attempt_id": "t1-1", "trace_id": "abc"}


def test_a_call_of_a_model_is_a_sentence() -> None:
    call = {"call_id": "t1-1:a:1", "model": "gpt", "status": 200, "latency_s": 2.5, "path": "/v1/x", "error": None}
    line = parse_line(json.dumps(call).encode(), NOON, LineOrigin("gateway", "s", {"attempt_id": "t1-1"}))
    assert (line.text, line.level) == ("call of a model: gpt answered 200", "info")
    failed = parse_line(json.dumps(call | {"error": "timeout"}).encode(), NOON, OURS)
    assert (failed.text, failed.level) == ("call of a model: gpt failed: timeout", "warning")


@pytest.mark.parametrize("raw", [b"\xff\x00broken", b'{"cut": "in the mid', b"[1, 2]", b"{}", b'{"a": 1}', b"{" * 5000])
def test_a_line_that_is_cut_or_foreign_is_text(raw: bytes) -> None:
    line = parse_line(raw, NOON, OURS)
    assert (line.level, line.component, line.source) == ("", "pipeline", "run/code-server.log")
    assert "\x00" not in line.text


def test_what_an_agent_writes_is_text_whatever_it_looks_like() -> None:
    forged = json.dumps({"event": "x", "level": "error", "component": "gateway", "task_id": "t2"}).encode()
    origin = LineOrigin("agent", "attempts/t1-1/agent.log", {"task_id": "t1"}, is_strangers=True)
    line = parse_line(forged, NOON, origin)
    assert (line.level, line.component, line.context) == ("", "agent", {"task_id": "t1"})
    assert line.text == forged.decode()


def test_a_text_is_bounded_and_has_nothing_that_a_terminal_acts_upon() -> None:
    line = parse_line(b"\x1b]0;title\x07" + b"x" * (MAX_TEXT + 7), NOON, OURS)
    assert line.text == "x" * MAX_TEXT + " … (7 characters more)"


def test_a_traceback_belongs_to_the_line_before_it_and_other_lines_do_not() -> None:
    before = b"2026-03-01 x failed\n"
    for raw in (
        b"Traceback (most recent call last):\n",
        b'  File "x.py", line 1\n',
        b"    import y\n",
        b"E: it failed\n",
    ):
        assert continues(raw, before)
        before += raw
    assert not continues(b"something else\n", before)
    assert not continues(b"something else\n", b"a line\n")
    assert parse_line(before, NOON, OURS).level == "error"


def test_an_op_that_ends_its_run_on_purpose_says_why_and_not_where_dagster_called_it() -> None:
    head = f"2026-03-01 12:00:00 +0000 - dagster - ERROR - agent_run - {RUN} - 9 - settle - STEP_FAILURE - It failed.\n"
    frames = b'\nStack Trace:\n  File "execute_plan.py", line 243\n    yield from events\n'
    failure = b"dagster._core.definitions.events.Failure: timeout: it took too long\n"
    before = head.encode()
    for raw in (b"\n", failure, *frames.splitlines(keepends=True)):
        assert continues(raw, before)
        before += raw
    assert not continues(b"what an agent writes\n", before)
    line = parse_line(before, NOON, OURS)
    assert (line.level, line.run_id) == ("error", RUN)
    assert line.text == f"settle - STEP_FAILURE - It failed.\n\n{failure.decode().strip()}"
    # What nobody has raised on purpose keeps its frames.
    error = before.replace(failure, b"KeyError: 'x'\n")
    assert "execute_plan.py" in parse_line(error, NOON, OURS).text
    assert "execute_plan.py" not in parse_line(json.dumps({"event": before.decode()}).encode(), NOON, OURS).text


def line(at: float = NOON, text: str = "x", **values: object) -> LogLine:
    return LogLine(at, text, **values)  # type: ignore[arg-type]  # a line's own fields


@pytest.mark.parametrize(
    ("query", "line", "answers"),
    [
        (LogQuery(NOON), line(), True),
        (LogQuery(NOON), line(NOON - 1), False),
        (LogQuery(NOON, until=NOON + 1), line(NOON + 1), False),
        (LogQuery(0, components=frozenset({"agent"})), line(component="gateway"), False),
        (LogQuery(0, least_level="warning"), line(level="error"), True),
        (LogQuery(0, least_level="warning"), line(level=""), False),
        (LogQuery(0, least_level="info"), line(level=""), True),
        (LogQuery(0, least_level="info"), line(level="debug"), False),
        (LogQuery(0, repository="Acme/Shop"), line(context={"repository": "acme/shop"}), True),
        (LogQuery(0, repository="acme/shop"), line(text="reading acme/shop"), True),
        (LogQuery(0, repository="acme/shop"), line(text="acme/shop", context={"repository": "acme/other"}), False),
        (LogQuery(0, ids=frozenset({"t1"})), line(context={"task_id": "t1"}), True),
        (LogQuery(0, ids=frozenset({"t1"})), line(run_id="t1"), True),
        (LogQuery(0, ids=frozenset({"t1"})), line(text="starts t1-1"), True),
        (LogQuery(0, ids=frozenset({"t1"})), line(values={"task": "t1"}), True),
        (LogQuery(0, ids=frozenset({"t1"})), line(text="starts t2"), False),
        (LogQuery(0, ids=frozenset({"t1"}), traces=frozenset({"aa"})), line(context={"trace_id": "aa"}), True),
        (
            LogQuery(0, ids=frozenset({"t1"}), traces=frozenset({"aa"})),
            line(context={"trace_id": "aa", "task_id": "t2"}),
            False,
        ),
        (LogQuery(0, traces=frozenset({"aa"})), line(context={"trace_id": "aabb", "task_id": "t2"}), True),
        (LogQuery(0, traces=frozenset({"aa"})), line(context={"trace_id": "bbaa"}), False),
    ],
)
def test_a_line_answers_by_time_component_level_repository_ids_and_trace(
    query: LogQuery, line: LogLine, *, answers: bool
) -> None:
    assert query.answers(line) is answers


def test_what_can_be_looked_for_in_the_bytes_is() -> None:
    task = LogQuery(0, ids=frozenset({"t1"}), traces=frozenset({"a.b"})).needle()
    assert task is not None
    assert [bool(task.search(raw)) for raw in (b"x t1", b"a.b", b"acb")] == [True, True, False]
    repository = LogQuery(0, repository="acme/shop").needle()
    assert repository is not None
    assert repository.search(b"of Acme/Shop")
    assert LogQuery(0).needle() is None


def test_a_moment_is_in_utc_with_milliseconds() -> None:
    assert moment(NOON + 0.25) == "2026-03-01T12:00:00.250Z"
