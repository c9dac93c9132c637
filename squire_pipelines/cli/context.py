"""What commands share: the settings and the ledger, opened on first use, and the ways to write a result.

Imports at the top are kept to click, since every start pays for them; the rest is imported where it is used.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from squire_pipelines.cli.task_rows import TaskPage
    from squire_pipelines.home import Home
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.ledger.task_query import TaskQuery
    from squire_pipelines.settings import Settings

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any] | click.Command)
PIPE_WIDTH = 200
"""Columns of a table that is not written to a terminal, so that ids and links are not cut."""


class CliContext:
    """One run of the command: its global options and what is opened for it. `close` is called at its end."""

    def __init__(self) -> None:
        self.config: Path | None = None
        self.verbose = False

    @cached_property
    def home(self) -> "Home":
        """Where the files lie."""
        from squire_pipelines.home import Home  # noqa: PLC0415 - not every command needs it

        return Home.from_environment()

    @cached_property
    def settings(self) -> "Settings":
        """The checked settings. Raises ConfigError."""
        from squire_pipelines.settings import load_settings  # noqa: PLC0415 - pydantic is slow to import

        return load_settings(self.config)

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger, made or upgraded if need be. Raises ConfigError, LedgerError."""
        from squire_pipelines.ledger.store import open_ledger  # noqa: PLC0415 - SQLAlchemy is slow to import

        return open_ledger(self.settings.resolved_ledger_url)

    def read_tasks(self, query: "TaskQuery") -> "TaskPage":
        """A page of the list of tasks, the quick way where that is possible. Raises NotFoundError, ConfigError."""
        from squire_pipelines.cli import fast_list  # noqa: PLC0415 - not every command needs it
        from squire_pipelines.cli.task_rows import FOR_A_SLOT, from_ledger  # noqa: PLC0415 - likewise

        path = fast_list.ledger_path(self.config, self.home)
        if path is None:
            digest = fast_list.settings_digest(self.config, self.home)
            _ = self.settings  # checked here; remembered for the next time
            fast_list.remember_checked(digest, self.home)
            path = fast_list.ledger_path(self.config, self.home)
        page = None if path is None else fast_list.read_tasks(path, query)
        if page is None:
            with self.ledger.read() as tx:
                page = from_ledger(tx, query)
        waits = any(row.waiting == FOR_A_SLOT for row in page.rows)
        return self._with_budgets(page) if waits and fast_list.may_have_budgets(self.config, self.home) else page

    def _with_budgets(self, page: "TaskPage") -> "TaskPage":
        """The page, with the budgets for which tasks wait that would else wait for a slot."""
        from squire_pipelines.cli.task_rows import FOR_A_SLOT  # noqa: PLC0415 - not every command needs it
        from squire_pipelines.ledger import budgets  # noqa: PLC0415 - slow to import, and only with budgets needed

        with self.ledger.read() as tx:
            held = budgets.blocked_by_budget(tx, self.settings.budgets_for)
        rows = []
        for row in page.rows:
            short = held.why(row.repository, row.id) if row.waiting == FOR_A_SLOT else None
            rows.append(row if short is None else replace(row, waiting=str(short)))
        return replace(page, rows=tuple(rows))

    def close(self) -> None:
        """Close what was opened."""
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.__dict__["ledger"]

    @cached_property
    def console(self) -> "Console":
        """Standard output. Markup is off: whatever a stranger wrote is shown as it stands."""
        from rich.console import Console  # noqa: PLC0415 - JSON output needs no rich

        width = None if sys.stdout.isatty() else PIPE_WIDTH
        return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


pass_cli_context = click.make_pass_decorator(CliContext)


def json_option(function: _Decorated) -> _Decorated:
    """The option `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(function)


def limit_option(default: int = 100, *, most: int = 1000) -> Callable[[_Decorated], _Decorated]:
    """The option `--limit`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        metavar="N",
        help=f"At most this many, up to {most}.",
    )


def after_option(kind: type = int) -> Callable[[_Decorated], _Decorated]:
    """The option `--after`: the id of the last row of the page before."""
    return click.option("--after", type=kind, metavar="ID", help="Go on after this row: the next page.")


def more(rows: Sequence[Mapping[str, Any]], limit: int) -> None:
    """Say how the next page is asked for, when this one is full."""
    if len(rows) == limit:
        click.echo(f"more: the same with --after {rows[-1]['id']}", err=True)


def _to_json(value: Any) -> Any:
    from datetime import datetime  # noqa: PLC0415 - loaded already whenever it matters

    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def emit_json(value: Any) -> None:
    """Write `value` as JSON. ASCII only, so that no stranger's character acts upon a terminal."""
    click.echo(json.dumps(value, indent=2, default=_to_json))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, keep: Iterable[str] = ()) -> "Table":
    """A plain table of cleaned cells; columns that are empty in all rows are left out unless named in `keep`."""
    from rich import box  # noqa: PLC0415 - JSON output needs no rich
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    from squire_pipelines.cli.text import one_line  # noqa: PLC0415 - likewise

    cells = [["" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
    kept = set(keep)
    shown = [i for i, name in enumerate(columns) if name in kept or any(row[i] for row in cells)]
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i in shown:
        result.add_column(columns[i], no_wrap=columns[i] in _NEVER_CUT, overflow="fold")
    for row in cells:
        result.add_row(*(Text(row[i], style=_STYLES.get(row[i], "")) for i in shown))
    return result


_NEVER_CUT = frozenset({"id", "status", "age"})
_STYLES = {
    "succeeded": "green",
    "merged": "green",
    "ok": "green",
    "failed": "red",
    "fail": "red",
    "cancelled": "dim",
    "running": "cyan",
    "proposed": "yellow",
    "stale": "yellow",
    "warn": "yellow",
}
