"""The console: whatever is written on it, only rich's own sequences reach the terminal."""

import io
import re

from hypothesis import given
from rich.live import Live
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from squire_pipelines.terminal.console import CleanConsole, open_console
from tests.support.hostile_text import HOSTILE, hidden_characters

COLORS_AND_CURSOR = re.compile(r"\x1b\[(?:[0-9;]*m|\d*[AK]|\?25[lh])|\r")


def on_a_terminal() -> tuple[CleanConsole, io.StringIO]:
    """Return a console that takes its file for a terminal, and the file."""
    stream = io.StringIO()
    return CleanConsole(
        file=stream, width=80, force_terminal=True, color_system="256", markup=False, highlight=False
    ), stream


@given(HOSTILE)
def test_no_renderable_brings_sequences_of_its_own(text: str) -> None:
    console, stream = on_a_terminal()
    table = Table(title=text)
    table.add_column(text, overflow="fold")
    table.add_row(text)
    table.add_row(Text(text, style="red"))
    with Live(Panel(text), console=console, auto_refresh=False) as live:
        live.update(Panel(Text(text)), refresh=True)
    for renderable in (text, Text(text, style="bold"), table, Syntax(text, "diff"), Panel(text, title=Text(text))):
        console.print(renderable)
    assert hidden_characters(COLORS_AND_CURSOR.sub("", stream.getvalue())) == []


def test_a_strangers_sequence_of_the_kind_that_rich_uses_itself_is_taken_out() -> None:
    console, stream = on_a_terminal()
    console.print("before\x1b[1Aafter\x1b[?25l \x1b]0;owned\x1b\\end", Text("\x1b[2Jred", style="red"))
    assert stream.getvalue() == "beforeafter end \x1b[31mred\x1b[0m\n"


def test_a_pipe_gets_text_alone_and_markup_is_text() -> None:
    stream = io.StringIO()
    open_console(stream).print(Text("[bold]a\x1b[31mb[/bold]", style="red"))
    assert stream.getvalue() == "[bold]ab[/bold]\n"
