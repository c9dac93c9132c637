"""Patches on a terminal: cleaned and coloured. That a pipe gets them exactly is tested with `git apply`."""

import sys

import pytest

from squire_pipelines.terminal.diffs import MAX_TERMINAL_LINES, terminal_lines, write_patch

PATCH = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\ta\r\n+\tb\x1b[2J\xff\rc\r\n"


def test_a_terminal_gets_tabs_and_line_ends_and_no_control_characters() -> None:
    lines = list(terminal_lines(PATCH, colored=False))
    assert lines[-2:] == ["-\ta\r\n", "+\tb\ufffdc\r\n"]
    assert len(lines) == 6


def test_added_and_removed_lines_have_their_colors() -> None:
    lines = list(terminal_lines(PATCH, colored=True))
    assert lines[-2:] == ["\x1b[31m-\ta\x1b[0m\r\n", "\x1b[32m+\tb\ufffdc\x1b[0m\r\n"]


def test_a_terminal_gets_the_first_lines_of_a_long_patch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert write_patch(b"+x\n" * (MAX_TERMINAL_LINES + 1))
    assert capsys.readouterr().out == "+x\n" * MAX_TERMINAL_LINES
    assert not write_patch(b"+x\n" * MAX_TERMINAL_LINES)
