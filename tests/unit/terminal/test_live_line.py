import io
import threading

import pytest

from squire_pipelines.terminal.live_line import EACH_S, FIRST_S, line_at, live_line


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _work(stream: io.StringIO, looks: int) -> list[float]:
    """Work for so many looks of the line, without a clock; return how long it waited for each."""
    waited: list[float] = []
    seen = threading.Event()

    def wait(ended: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) > looks:
            seen.set()
            return ended.wait(10)
        return False

    with live_line("publishing the \x1b[2Jwarehouse", stream=stream, wait=wait):
        assert seen.wait(10) or not stream.isatty()
    return waited


def test_long_work_is_one_line_that_goes_away() -> None:
    terminal = _Terminal()
    assert _work(terminal, 2) == [FIRST_S, EACH_S, EACH_S]
    assert terminal.getvalue() == "\r\x1b[Kpublishing the warehouse … 0 s" * 2 + "\r\x1b[K"


def test_short_work_shows_nothing() -> None:
    terminal = _Terminal()
    _work(terminal, 0)
    assert terminal.getvalue() == ""


def test_a_pipe_and_a_dumb_terminal_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with live_line("working", stream=(pipe := io.StringIO())):
        assert threading.active_count() >= 1
    monkeypatch.setenv("TERM", "dumb")
    with live_line("working", stream=(terminal := _Terminal())):
        pass
    assert (pipe.getvalue(), terminal.getvalue()) == ("", "")


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_the_line_fits_its_terminal(columns: int) -> None:
    assert len(line_at("w" * 300, 61.5, columns).removeprefix("\r\x1b[K")) < columns
