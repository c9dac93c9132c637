"""Lines, JSON and CSV: what is written holds nothing that acts upon a terminal, and CSV no formula."""

import csv
import io
import json
import re
import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.terminal_text import plain, without_sequences
from squire_pipelines.terminal import output
from tests.support.hostile_text import HOSTILE, hidden_characters


@pytest.fixture(autouse=True)
def _without_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def written(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was written to both streams."""
    return "".join(capsys.readouterr())


def test_a_long_text_goes_on_below_its_beginning_in_a_terminal_and_is_one_line_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "the engine does not answer at its\nsocket /var/run/docker.sock, start it"
    output.write_hanging("ok:  ", words, indent=5)
    assert written(capsys) == f"ok:  {' '.join(words.split())}\n"
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", terminal := _Terminal())
    output.write_hanging("ok:  ", words, indent=5)
    lines = terminal.getvalue().splitlines()
    assert lines[1].startswith("     /var") or lines[1].startswith("     socket")
    assert max(map(len, lines)) <= 40
    monkeypatch.setenv("COLUMNS", "10")
    output.write_hanging("ok:  ", words, indent=5)
    assert terminal.getvalue().splitlines()[-1] == f"ok:  {' '.join(words.split())}"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_on_both_streams_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_line("a\x1b]0;owned\x07b\u202ec")
    output.write_line("d\x1b[2Je", err=True, end="")
    output.write_labelled("error", "two\nlines\x9b2J", color="red")
    assert tuple(capsys.readouterr()) == ("abc\n", "deerror: two lines\n")


@given(HOSTILE)
def test_json_is_ascii_without_control_characters_and_loses_nothing(text: str) -> None:
    document = output.json_text({text: [text]}, indent=2)
    assert document.isascii()
    assert hidden_characters(document) == []
    assert json.loads(document) == {text: [text]}


@given(HOSTILE)
def test_a_cell_of_csv_begins_no_formula_and_its_text_can_be_had_back(text: str) -> None:
    cell = output.csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\n")) or re.fullmatch(
        r"[+-]\d+(\.\d+)?([eE][+-]?\d+)?", cell
    )
    assert cell.removeprefix("'") == plain(text)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@dependabot", "'@dependabot"),
        ("-- drop", "'-- drop"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("'quoted'", "''quoted'"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\x1b[1m=1", "'=1"),
        ("\n=1+1", "'\n=1+1"),
        ("\ufe0f=1+1", "'=1+1"),
        ("-12.5e3", "-12.5e3"),
        ("a=b", "a=b"),
        (-12, -12),
        (None, None),
        ("", ""),
    ],
)
def test_text_that_a_spreadsheet_would_compute_is_marked_as_text(value: object, cell: object) -> None:
    assert output.csv_cell(value) == cell


@given(st.lists(st.tuples(HOSTILE, HOSTILE | st.none()), max_size=3))
def test_csv_has_every_row_and_nothing_that_acts(rows: list[tuple[str, str | None]]) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        assert output.write_csv(["=title", "note"], [rows]) == len(rows)
    assert hidden_characters(stream.getvalue()) == []
    (header, *lines) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert header == ["'=title", "note"]
    assert lines == [[output.csv_cell(title), output.csv_cell(note) or ""] for title, note in rows]


def test_questions_are_cleaned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nname\n"))
    with pytest.raises(click.Abort):
        output.confirm("Remove \x1b]0;x\x07this?")
    assert output.ask("who\x1b[2J") == "name"
    assert hidden_characters(written(capsys)) == []


@pytest.mark.parametrize(
    "sequence", ["\x1b[3\x001m", "\x1b[3\x7f1m", "\x1b[3\t1m", "\x1b[3\x1b[1m", "\x9b3\x081m", "\x1b[3\x18"]
)
def test_a_sequence_with_controls_in_it_splits_no_secret(sequence: str) -> None:
    assert without_sequences(f"sec{sequence}ret") == "secret"
