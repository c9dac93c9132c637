"""What commands share: the settings and the ledger, opened on first use, and the ways to write a result.

Imports at the top are kept to click, since every start pays for them; the rest is imported where it is used.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from squire_pipelines.terminal.cells import cell_text
from squire_pipelines.terminal.output import json_text, write_hanging, write_json, write_labelled, write_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from squire_pipelines.home import Home
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.ledger.task_query import TaskQuery
    from squire_pipelines.ledger.task_rows import TaskPage
    from squire_pipelines.settings.model import Settings
    from squire_pipelines.terminal.console import CleanConsole

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Columns = Mapping[str, str | Callable[[Any], object]]
"""The columns of a table: a heading, and the key or the function of a row that gives the cell."""


class CliContext:
    """One run of the command: its global options and what is opened for it. `close` is called at its end.

    Args:
        is_interactive: Whether somebody answers at standard input; by default when that is a terminal.

    Attributes:
        takes_last_good: Whether the command works by the last good settings while the file is refused.
        only_reads: Whether it makes no ledger where there is none.
    """

    def __init__(self, *, is_interactive: bool | None = None) -> None:
        self.config: Path | None = None
        self.verbose = False
        self.takes_last_good = False
        self.only_reads = False
        self._is_refused = False
        self._hints_shown: set[str] = set()
        at_terminal = sys.stdin is not None and sys.stdin.isatty()  # it is None when closed
        self.is_interactive = at_terminal if is_interactive is None else is_interactive

    @property
    def can_ask(self) -> bool:
        """Whether a person can be asked for what is not shown, at the terminal itself when standard input is a pipe."""
        if self.is_interactive or sys.stderr is None or not sys.stderr.isatty():
            return self.is_interactive
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return False
        return True

    @cached_property
    def home(self) -> "Home":
        """Where Squire's files are."""
        from squire_pipelines.home import Home  # noqa: PLC0415 - not every command needs it

        return Home.from_environment()

    @property
    def config_path(self) -> Path:
        """The file that the settings are read from, whether it exists or not."""
        from squire_pipelines.home import named_config  # noqa: PLC0415 - not every command needs it

        return self.config or named_config() or self.home.config_file

    @cached_property
    def settings(self) -> "Settings":
        """The checked settings; of a refused file the last good ones, where the command takes them. Or ConfigError."""
        from squire_pipelines.settings.model import load_settings  # noqa: PLC0415 - pydantic is slow to import

        if not self.takes_last_good:
            return self._applied(load_settings(self.config))
        settings, refusal = self.settings_or_last_good()
        if refusal:
            message = f"the settings' file is refused, and the last good settings hold: {refusal}"
            write_labelled("warning", message, color="yellow")
        return settings

    def settings_or_last_good(self) -> "tuple[Settings, str]":
        """Return the settings, or while the file is refused the last good ones with the reason. Raises ConfigError."""
        from squire_pipelines.errors import ConfigError  # noqa: PLC0415 - not every command needs it
        from squire_pipelines.settings.model import load_settings  # noqa: PLC0415 - pydantic is slow to import

        try:
            return self._applied(load_settings(self.config)), ""
        except ConfigError as error:
            from squire_pipelines.reloading.last_good import LastGood, refusal_text  # noqa: PLC0415 - seldom needed

            known = LastGood(self.config_path, self.home).read_settings()
            if known is None:
                raise
            self._is_refused = True
            return self._applied(known[0]), refusal_text(error)

    def _applied(self, settings: "Settings") -> "Settings":
        """Have the settings of logs hold, and name the variables that set nothing."""
        from squire_pipelines.cli.failures import note  # noqa: PLC0415 - not every command needs it
        from squire_pipelines.settings.variables import unknown_variables  # noqa: PLC0415 - likewise

        for sentence in unknown_variables(type(settings)):
            if sentence not in self._hints_shown:  # the settings are read anew after a command has changed them
                self._hints_shown.add(sentence)
                note(sentence)
        settings.logging.apply()
        return settings

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger, created or upgraded if need be; an empty one where a command that only reads finds none.

        Raises ConfigError, LedgerError.
        """
        from squire_pipelines.ledger.store import open_ledger  # noqa: PLC0415 - SQLAlchemy is slow to import

        file = self.settings.ledger_file
        if self.only_reads and file is not None and not file.exists():
            from squire_pipelines.ledger.empty import EmptyLedger  # noqa: PLC0415 - seldom needed

            self._note_no_ledger(file)
            return EmptyLedger()
        return open_ledger(self.settings.resolved_ledger_url)

    @cached_property
    def warehouse(self) -> Path:
        """The warehouse's file to read: of this home, or a copy of what another machine has published.

        Raises ConfigError, FileStoreError.
        """
        return self.warehouse_of(None)

    def warehouse_of(self, tenant: str | None) -> Path:
        """Return one tenant's warehouse to read, or that of all. Raises ConfigError, FileStoreError."""
        path = self.home.warehouse if tenant is None else self.home.warehouse_of(tenant)
        if not self.settings.files.url:
            return path
        from squire_pipelines.warehouse.sharing import readable_publication  # noqa: PLC0415 - DuckDB

        return readable_publication(self.settings, path.stem, path)

    def _note_no_ledger(self, file: Path) -> None:
        message = f"there is no ledger at {file}: nothing has run in this home yet. SQUIRE_HOME names another home"
        write_labelled("hint", message, color="yellow")

    def read_tasks(self, query: "TaskQuery") -> "TaskPage":
        """Read a page of the list of tasks, the fast way if possible. Raises NotFoundError, ConfigError."""
        from squire_pipelines.cli import fast_list  # noqa: PLC0415 - not every command needs it
        from squire_pipelines.ledger.task_rows import read_page  # noqa: PLC0415 - likewise

        path = fast_list.ledger_path(self.config, self.home)
        if path is None:
            digest = fast_list.settings_digest(self.config, self.home)
            _ = self.settings  # checked here; remembered for the next time
            if not self._is_refused:
                fast_list.remember_checked(digest, self.home)
            path = fast_list.ledger_path(self.config, self.home)
        if path is not None and not path.exists():
            self._note_no_ledger(path)
        page = None if path is None else fast_list.read_tasks(path, query)
        if path is not None and page is not None:
            if fast_list.may_wait_by_settings(self.config, self.home) or fast_list.may_be_capped(path, page):
                return self.with_settings_waits(page)
            return page
        with self.ledger.read() as tx:
            page = read_page(tx.query_runner(), query, now=tx.now)
        return self.with_settings_waits(page)

    def with_settings_waits(self, page: "TaskPage") -> "TaskPage":
        """Return a page whose tasks say what they wait for by the settings, too. Raises ConfigError."""
        if not any(row.waits_for_start for row in page.rows):
            return page
        from squire_pipelines.execution.settings_waits import with_waits_by_settings  # noqa: PLC0415 - slow, and seldom needed

        return with_waits_by_settings(page, self.ledger, self.settings)

    def close(self) -> None:
        """Record which secrets were used, and close the ledger if it was opened."""
        uses = sys.modules.get("squire_pipelines.secrets.uses")  # most commands use none, and import nothing of it
        if uses is not None and uses.has_uses():
            from squire_pipelines.cli.used_secrets import record_used_secrets  # noqa: PLC0415 - few commands use any

            record_used_secrets(lambda: self.settings.resolved_ledger_url if self.has_ledger else None)
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.__dict__["ledger"]

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger, which is not made by asking. Raises ConfigError."""
        file = self.settings.ledger_file
        return file is None or file.exists()

    @cached_property
    def console(self) -> "CleanConsole":
        """Standard output for tables, which takes no markup and no control characters from text."""
        from squire_pipelines.terminal.console import open_console  # noqa: PLC0415 - JSON output needs no rich

        return open_console()

    def write_list(
        self,
        rows: Sequence[Any],
        columns: Columns,
        *,
        as_json: bool,
        empty: str,
        limit: int | None = None,
        next_option: str = "--after",
        keep: Iterable[str] = (),
        spare: Sequence[str] = (),
        wrap: Iterable[str] = (),
    ) -> None:
        """Write `rows` as JSON or as a table, or the sentence `empty`; with `limit`, how to go on after a full page."""
        if as_json:
            emit_json(rows)
        elif not rows:
            write_line(empty)
        else:
            self.write_rows(rows, columns, keep=keep, spare=spare, wrap=wrap)
        if len(rows) == limit:
            show_next_page(next_option, _cell(rows[-1], "id"))

    def write_rows(self, rows: Iterable[Any], columns: Columns, **layout: Iterable[str]) -> None:
        """Write a table of `rows`, which are mappings or objects; for the layout see `terminal.tables.table`."""
        self.console.print(self.table_of(rows, columns, **layout))

    def write_table(self, headings: Sequence[str], rows: Iterable[Sequence[object]], **layout: Iterable[str]) -> None:
        """Write a table of rows of cells; for the layout see `terminal.tables.table`."""
        from squire_pipelines.terminal.tables import table  # noqa: PLC0415 - JSON output needs no rich

        self.console.print(table(headings, rows, room=self.console.room, **layout))

    def table_of(self, rows: Iterable[Any], columns: Columns, **layout: Iterable[str]) -> "RenderableType":
        """Return what `write_rows` writes."""
        from squire_pipelines.terminal.tables import table  # noqa: PLC0415 - JSON output needs no rich

        cells = ([_cell(row, cell) for cell in columns.values()] for row in rows)
        return table(list(columns), cells, room=self.console.room, **layout)


with_context = click.make_pass_decorator(CliContext)


def with_home(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the context to a command that needs a home and its ledger alone: no refused settings file stops it.

    What starts work by the settings is none: whoever has just changed them means the new ones.
    """

    @wraps(function)
    def run(context: CliContext, *args: Any, **kwargs: Any) -> Any:
        context.takes_last_good = True
        return function(context, *args, **kwargs)

    return with_context(run)


def with_home_to_read(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the context as `with_home`, to a command that only reads: in a mistyped home it makes no ledger."""

    @wraps(function)
    def run(context: CliContext, *args: Any, **kwargs: Any) -> Any:
        context.only_reads = True
        return function(context, *args, **kwargs)

    return with_home(run)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(function)


def limit_option(default: int = 100, *, most: int = 1000) -> Decorator:
    """Add the option `--limit`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        metavar="N",
        help=f"Show at most this many, up to {most}.",
    )


ROW_ID = click.IntRange(0, 2**63 - 1)
"""The number of a row, as both databases hold one."""


def page_options(after: Any = ROW_ID) -> Decorator:
    """Add `--after` (an id of the type `after`), `--limit` and `--json`, and pass the context of a home to read."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = limit_option()(json_option(with_home_to_read(function)))
        help_text = "Go on after the row with this id: the next page."
        return click.option("--after", type=after, metavar="ID", help=help_text)(function)

    return decorate


def choice_option(name: str, choices: Sequence[str], help_text: str) -> Decorator:
    """Add an option that takes one of `choices`, by default the first."""
    return click.option(name, type=click.Choice(choices), default=choices[0], show_default=True, help=help_text)


class _Seconds(click.FloatRange):
    """A range that has no NaN in it, which no comparison keeps out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises click.BadParameter."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124 - NaN, without an import at every start
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return number


def seconds_option(
    name: str, default: float, help_text: str, *, least: float = 1, most: float | None = None
) -> Decorator:
    """Add an option whose value is a number of seconds between `least` and `most`."""
    kind = _Seconds(least, most)
    return click.option(name, type=kind, default=default, show_default=True, metavar="SECONDS", help=help_text)


def show_next_page(option: str, place: object) -> None:
    """Write on standard error the command line of the next page: this one again, with `place` as its `option`."""
    ctx = click.get_current_context()
    words: list[str] = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if option in parameter.opts or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        values = ctx.params[name]
        for value in values if isinstance(values, tuple) else (values,):
            words.append(parameter.opts[0])
            if value is not True:
                words.append(f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value))
    write_line(f"next page: {ctx.command_path} {shlex.join([*words, option, str(place)])}", err=True)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def emit_json(value: Any) -> None:
    """Write `value`, which may hold models, times and paths, as JSON."""
    write_json(value, default=_to_json)


def emit_json_line(value: Any) -> None:
    """Write `value` as JSON on one line."""
    write_line(json_text(value, default=_to_json))


def write_fields(row: Any, columns: Columns) -> None:
    """Write the fields of one row that are not empty, each on its own line."""
    for name, cell in columns.items():
        if text := cell_text(_cell(row, cell), limit=2000):
            head = f"  {name + ':':<14} "
            write_hanging(head, text, indent=len(head))


def _cell(row: Any, cell: str | Callable[[Any], object]) -> object:
    if callable(cell):
        return cell(row)
    value: object = row[cell] if isinstance(row, Mapping) else getattr(row, cell)
    return value
