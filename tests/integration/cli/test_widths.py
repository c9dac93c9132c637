"""Every command that lists or shows something, in terminals of several widths: nothing is wider, no id is cut."""

import io

import pytest
from rich.cells import cell_len

from squire_pipelines.cli.context import CliContext
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.signals import Source
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.terminal.console import CleanConsole
from tests.integration.cli.test_hostile_text import LISTS
from tests.support.cli import SampleData, Squire

WIDTHS = (20, 60, 80, 120, 200)
OTHER = "Raise the library of templates by three versions, since the one that is used has a hole that strangers know of"
LONG = "Mend the test of the parser that fails on Tuesdays when the moon is full and nobody looks, or else leave it"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_list_fits_its_terminal(
    squire: Squire, samples: SampleData, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    written = io.StringIO()

    def on_a_terminal(_context: CliContext) -> CleanConsole:
        return CleanConsole(file=written, width=width, force_terminal=True, markup=False, highlight=False)

    monkeypatch.setattr(CliContext, "console", property(on_a_terminal))
    ended, failed = samples.ended(Cause.COMPLETED, LONG), samples.ended(Cause.AGENT_ERROR, OTHER, message=LONG)
    samples.reading(title=LONG)
    samples.reading(Source.OPEN_PRS, error=LONG)
    for words in LISTS:
        squire(*words)
    assert len(written.getvalue().splitlines()) > 100
    assert [line for line in plain(written.getvalue()).splitlines() if cell_len(line) > width] == []
    written.truncate(0)
    squire.ok("tasks", "list")
    if width == min(WIDTHS):
        return  # an id is as long as a line
    lines = plain(written.getvalue()).splitlines()
    assert all(any(task_id in line for line in lines) for task_id in (ended, failed))
    assert len(lines) == 4  # nothing is folded


def test_a_pipe_has_the_addresses_of_pull_requests(squire: Squire, samples: SampleData) -> None:
    samples.ended(Cause.COMPLETED, LONG)
    assert "https://github.com/acme/shop/pull/12" in squire.ok("tasks", "list")
