"""A session's transcript: written as it passes, bounded, and read again."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.command import CommandAgent
from squire_pipelines.agents.adapters.protocol import Parser, SessionFailure, SessionResult
from squire_pipelines.agents.adapters.session import SessionReader, read
from squire_pipelines.agents.adapters.transcript import (
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    ToolCall,
    cut,
    dump,
    load,
)


class Echo(CommandAgent):
    """An agent of a test: each line is what it says; `boom` breaks its parser."""

    name = "echo"

    def parser(self) -> Parser:
        def parse(line: str) -> Iterable[Entry]:
            if line == "boom":
                raise KeyError(line)
            return [ModelText(text=line)] if line else []

        return parse

    def judge(self, seen: SessionResult) -> SessionFailure | None:
        if seen.exit_code == 99:
            raise ZeroDivisionError
        return None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


@pytest.mark.parametrize(
    "entry",
    [
        ModelStep(input_tokens=3, cost_usd=0.5, session="s"),
        ToolCall(tool="bash", status="error", error="no", seconds=1.5),
        ModelText(text="ü"),
        SessionError(name="E", provider=True),
        SessionNote(text="n"),
    ],
)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    line = dump(entry)
    assert line.startswith(f'{{"kind": "{entry.kind}"')
    assert "\n" not in line
    assert load(line) == entry


def test_a_text_is_cut_with_a_mark() -> None:
    assert cut("x" * 10, 100) == "x" * 10
    assert len(cut("x" * 5000, 100)) <= 100
    assert cut("x" * 5000, 100).endswith("more characters)")


def test_what_passes_is_written_at_once_and_added_up(path: Path) -> None:
    session = SessionReader(Echo(), path)
    assert not path.exists()
    session.line("one")
    assert [entry.kind for entry in read(path)] == ["text"]
    session.line("")
    session.line("two")
    assert session.totals.entries == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert session.facts()["steps"] == 0


def test_a_session_that_tells_nothing_has_no_file_and_no_facts(path: Path) -> None:
    session = SessionReader(CommandAgent(), path)
    session.line("x")
    assert session.facts() == {}
    assert not path.exists()


def test_an_earlier_try_is_written_over_unless_its_run_goes_on(path: Path) -> None:
    SessionReader(Echo(), path).line("first")
    again = SessionReader(Echo(), path, append=True)
    again.line("second")
    assert again.totals.entries == 2
    assert len(list(read(path))) == 2
    SessionReader(Echo(), path).line("new")
    assert list(read(path)) == [ModelText(text="new")]


def test_the_file_is_bounded_and_says_so_while_sums_go_on(path: Path) -> None:
    session = SessionReader(Echo(), path, max_bytes=500)
    for number in range(1000):
        session.line(f"line {number}")
    assert session.cut
    assert path.stat().st_size <= 500
    assert list(read(path))[-1] == SessionNote(text="the transcript is cut here: it reached its limit")
    assert session.totals.entries == 1000
    assert session.facts()["transcript_cut"] is True


def test_a_parser_that_fails_ends_the_transcript_and_nothing_else(path: Path) -> None:
    session = SessionReader(Echo(), path)
    for line in ("one", "boom", "two"):
        session.line(line)
    assert len(list(read(path))) == 1
    assert "KeyError" in str(session.facts()["transcript_failure"])


def test_a_file_that_cannot_be_written_is_a_fact(tmp_path: Path) -> None:
    session = SessionReader(Echo(), tmp_path / "missing" / "t.jsonl")
    session.line("one")
    assert "cannot be written" in str(session.facts()["transcript_failure"])


def test_a_judgement_that_fails_is_none(path: Path) -> None:
    session = SessionReader(Echo(), path)
    assert session.judge(None, changed=None) is None
    assert session.judge(0, changed=True) is None
    assert session.judge(99, changed=True) is None
    assert "ZeroDivisionError" in str(session.facts()["transcript_failure"])


def test_lines_that_are_no_entries_are_left_out(path: Path) -> None:
    path.write_bytes(b'{"kind": "text", "text": "x"}\nnonsense\n{"kind": "other"}\n\xff\n' + b"y" * 200_000 + b"\n")
    assert list(read(path)) == [ModelText(text="x")]
