"""All logs of a home in the order of time, within bounds, and what is added to them."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.domain.log_lines import ECHO, LogLine, LogQuery
from squire_pipelines.home import Home
from squire_pipelines.log_reading import reading
from squire_pipelines.log_reading.following import LogTail
from squire_pipelines.log_reading.merging import merged_lines, runs_of_traces
from squire_pipelines.log_reading.sources import LogSource, find_sources

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON = START.timestamp()
ALL = LogQuery(0.0)
RUN = "e4965554-f3e4-4fc1-9175-041fff1c9461"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(config=tmp_path, data=tmp_path, cache=tmp_path / "cache", state=tmp_path)


def ours(second: float, event: str, **values: str) -> str:
    at = (START + timedelta(seconds=second)).isoformat()
    return json.dumps({"event": event, "level": "info", "timestamp": at, "component": "webhooks", **values})


def dagsters(second: float, text: str) -> str:
    return (
        f"{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S} +0000 - dagster - INFO - agent_run - {RUN} - 1 - {text}"
    )


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    return path


def read(home: Home, query: LogQuery = ALL) -> list[str]:
    return [line.text for line in merged_lines(find_sources(home, since=query.since), query)]


def test_lines_of_all_logs_come_in_the_order_of_time(home: Home) -> None:
    attempt = home.attempts / "t1-1"
    write(home.run / "receiver.log", ours(0, "first"), ours(5, "sixth"))
    write(home.run / "daemon.log.1", dagsters(1, "second"))
    write(home.run / "daemon.log", dagsters(4, "fifth"))
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.err", dagsters(2, "third"))
    write(attempt / "agent.log", "fourth", "after")
    write(attempt / "agent.log.times", f"0 {NOON + 3}", f"7 {NOON + 6}")
    call = {"call_id": "t1-1:x:1", "latency_s": 1, "model": "m", "status": 200, "started_at": START.isoformat()}
    write(attempt / "gateway" / "calls-0123abcd.jsonl", json.dumps({**call, "started_at": "2026-03-01T12:00:07+00:00"}))
    write(home.run / "daemon.log.lock", "no log")
    write(home.run / "conditions.json", "{}")
    assert read(home) == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "after",
        "call of a model: m answered 200",
    ]


def test_what_a_line_belongs_to_is_known_by_its_file(home: Home) -> None:
    write(home.attempts / "t1-2" / "agent.log", "one")
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.out", "two")
    write(home.run / "receiver.log", "three")
    lines = {line.text: line for line in merged_lines(find_sources(home, since=0), LogQuery(0.0))}
    assert lines["one"].context == {"task_id": "t1", "attempt_id": "t1-2"}
    assert (lines["two"].run_id, lines["two"].component) == (RUN, "pipeline")
    assert (lines["three"].component, lines["three"].source) == ("webhooks", "run/receiver.log")


def test_lines_of_a_task_are_those_of_its_attempts_runs_and_trace(home: Home) -> None:
    write(home.attempts / "t1-1" / "agent.log", "its agent's")
    write(home.attempts / "t2-1" / "agent.log", "another's agent's")
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.err", dagsters(2, "its run's"))
    write(
        home.run / "receiver.log",
        ours(1, "its delivery's", trace_id="aaaa"),
        ours(3, "another's of the same delivery", trace_id="aaaa", task_id="t2"),
        ours(4, "another's"),
    )
    query = LogQuery(0.0, ids=frozenset({"t1", "t1-1", RUN}), traces=frozenset({"aaaa"}))
    assert read(home, query) == ["its delivery's", "its run's", "its agent's"]


def test_a_traces_runs_are_known_by_the_first_lines_of_their_ops(home: Home) -> None:
    first = ours(1, "op.started", trace_id="aaaa", component="pipeline", run_id=RUN)
    other = ours(3, "another part", trace_id="bbbb", component="pipeline")
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.err", first, dagsters(2, "its run's"), other)
    write(home.run / "daemon.log", f"{dagsters(4, 'x')[:28]}launched {RUN}", dagsters(5, "x").replace(RUN, "0" * 36))
    query = LogQuery(0.0, traces=frozenset({"aaaa"}))
    runs = runs_of_traces(find_sources(home, since=0), query)
    assert runs == {RUN}
    assert read(home, replace(query, runs=runs))[:2] == ["op.started", "its run's"]
    assert len(read(home, replace(query, runs=runs))) == 3


def test_what_dagster_writes_twice_comes_once_and_what_two_agents_write_twice(home: Home) -> None:
    write(home.run / "code-server.log", dagsters(1, "mirrored"), f"{ECHO.decode()}done", dagsters(1, "its own"))
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.err", dagsters(1, "mirrored"))
    write(home.dagster / "storage" / RUN / "compute_logs" / "a.out", f"{ECHO.decode()}done")
    for attempt in ("t1-1", "t2-1"):
        write(home.attempts / attempt / "agent.log", "done")
        write(home.attempts / attempt / "agent.log.times", f"0 {NOON + 2}")
    assert read(home) == ["mirrored", "its own", "done", "done"]


def test_a_traceback_is_one_entry_and_other_text_has_the_time_of_the_line_before_it(home: Home) -> None:
    log = write(
        home.run / "receiver.log",
        "cut at its beginning",
        ours(1, "failed"),
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
        "ValueError: it",
        "",
        "a program's own text",
        ours(2, "after"),
    )
    lines = list(merged_lines(find_sources(home, since=0), LogQuery(0.0)))
    assert [line.text.split("\n")[0] for line in lines][2:] == ["a program's own text", "after"]
    assert lines[0].text == "cut at its beginning"
    assert "ValueError: it" in lines[1].text
    assert [line.at for line in lines] == [NOON + 1, NOON + 1, NOON + 1, NOON + 2]
    assert log.exists()


def test_a_moment_in_a_large_log_is_found_without_reading_what_lies_before(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SEARCH_BYTES", 4096)
    log = home.run / "daemon.log"
    write(log, *(dagsters(second, f"line {second} {'x' * 100}") for second in range(4000)))
    (source,) = find_sources(home, since=0)
    entries = list(reading.read_entries(source, since=NOON + 3000))
    assert entries[0].at <= NOON + 3000
    assert len(entries) < 1100
    lines = read(home, LogQuery(NOON + 3000, until=NOON + 3003))
    assert [text.split()[1] for text in lines] == ["3000", "3001", "3002"]
    assert read(home, LogQuery(NOON + 9000)) == []


def test_lines_from_before_a_clock_was_set_back_are_among_those_since_a_moment(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SEARCH_BYTES", 4096)
    old = [dagsters(second, f"old {second} {'x' * 100}") for second in range(400)]
    before = [dagsters(5000 + second, f"before {second} {'x' * 100}") for second in range(100)]
    set_back = [dagsters(1000 + second, f"back {second} {'x' * 100}") for second in range(400)]
    after = [dagsters(5200 + second, f"after {second} {'x' * 100}") for second in range(200)]
    write(home.run / "daemon.log", *old, *before, *set_back, *after)
    shown = read(home, LogQuery(NOON + 5000))
    assert [text.split()[0] for text in shown] == ["before"] * 100 + ["after"] * 200


def test_parts_of_a_log_without_what_is_asked_for_are_left_out(home: Home) -> None:
    others = [ours(second, "x" * 1000) for second in range(1500)]
    write(home.run / "daemon.log", *others, ours(1500, "one", task_id="t1"), *others, ours(1501, "two", task_id="t1"))
    query = LogQuery(0.0, ids=frozenset({"t1"}))
    (source,) = find_sources(home, since=0)
    assert read(home, query) == ["one", "two"]
    assert len(list(reading.read_entries(source, since=0, needle=query.needle()))) < len(others) * 2
    assert read(home, LogQuery(0.0, ids=frozenset({"t2"}))) == []


def test_a_log_without_times_in_its_middle_is_still_searched(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SEARCH_BYTES", 4096)
    write(home.run / "daemon.log", ours(0, "first"), *("x" * 80 for _ in range(1000)), ours(9, "last"))
    assert read(home, LogQuery(NOON + 9)) == ["last"]


def test_a_line_of_any_length_takes_bounded_memory(home: Home) -> None:
    write(home.run / "daemon.log", ours(0, "first"), "x" * (3 * reading.MAX_ENTRY_BYTES), ours(1, "last"))
    (source,) = find_sources(home, since=0)
    assert max(len(entry.raw) for entry in reading.read_entries(source, since=0)) <= reading.MAX_ENTRY_BYTES


def test_logs_that_are_old_empty_gone_or_no_files_are_left_out(home: Home, tmp_path: Path) -> None:
    old = write(home.run / "old.log", ours(0, "old"))
    os.utime(old, (NOON, NOON))
    (home.run / "empty.log").touch()
    (home.run / "folder.log").mkdir()
    (home.run / "link.log").symlink_to(old)
    write(home.run / "daemon.log", ours(0, "new"))
    sources = list(find_sources(home, since=NOON + 1))
    assert [source.path.name for source in sources] == ["daemon.log"]
    sources[0].path.unlink()
    assert list(reading.read_entries(sources[0], since=0)) == []
    assert reading.end_of_lines(sources[0], 3) == 3
    assert read(Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path / "none")) == []


@pytest.fixture
def tail(home: Home) -> LogTail:
    write(home.run / "receiver.log", ours(0, "before"))
    tail = LogTail(home, NOON)
    tail.begin(find_sources(home, since=0))
    return tail


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_lines_that_are_added_are_shown_once_and_when_they_are_whole(home: Home, tail: LogTail) -> None:
    assert tail.look(LogQuery(0.0), NOON) == []
    log = write(home.run / "receiver.log", ours(2, "second"))
    write(home.run / "endpoint.log", ours(1, "first"))
    with log.open("a", encoding="utf-8") as file:
        file.write(ours(3, "third")[:20])
    assert texts(tail.look(LogQuery(0.0), NOON)) == ["first", "second"]
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{ours(3, 'third')[20:]}\n")
    assert texts(tail.look(LogQuery(0.0), NOON)) == ["third"]
    assert tail.look(LogQuery(0.0), NOON) == []


def test_a_rotation_is_followed_and_so_are_new_runs_and_attempts(home: Home, tail: LogTail) -> None:
    log = write(home.run / "receiver.log", ours(1, "in the old file"))
    log.replace(home.run / "receiver.log.1")
    write(home.run / "receiver.log.1", ours(2, "still in the old file"))
    write(log, ours(3, "in the new file"))
    write(home.attempts / "t1-1" / "agent.log", "an agent's")
    write(home.attempts / "t1-1" / "agent.log.times", f"0 {NOON + 4}")
    shown = texts(tail.look(LogQuery(0.0), NOON))
    assert shown == ["in the old file", "still in the old file", "in the new file", "an agent's"]


def test_what_an_old_log_had_is_not_new_when_it_is_written_again(home: Home) -> None:
    log = write(home.run / "endpoint.log", ours(0, "long ago"))
    tail = LogTail(home, NOON)
    tail.begin([])
    write(log, ours(9, "new"))
    assert texts(tail.look(ALL, NOON)) == ["new"]


def test_a_log_that_was_emptied_is_read_from_its_beginning(home: Home, tail: LogTail) -> None:
    (home.run / "receiver.log").write_text("")
    write(home.run / "receiver.log", ours(9, "new"))
    assert texts(tail.look(LogQuery(0.0), NOON)) == ["new"]


def test_a_source_knows_whose_times_it_has(home: Home) -> None:
    log = write(home.attempts / "t1-1" / "agent.log", "one", "two")
    write(home.attempts / "t1-1" / "agent.log.times", "not a time", "x y", f"4 {NOON}")
    (source,) = (one for one in find_sources(home, since=0) if isinstance(one, LogSource))
    times = reading.WrittenTimes.read(source)
    assert times is not None
    assert times.at(4) == NOON
    assert times.at(0) == log.stat().st_mtime
