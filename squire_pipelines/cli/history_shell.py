"""`squire history shell`: questions to the warehouse, one after the other. The sandbox is the library's, as ever."""

import atexit
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli import history_rows
from squire_pipelines.cli.context import CliContext, pass_cli_context
from squire_pipelines.cli.failures import fail, note
from squire_pipelines.cli.history_sql import LIMIT, MAX_QUERY, timeout_option
from squire_pipelines.cli.lazy import command
from squire_pipelines.errors import QueryError, SquireError, WarehouseError

if TYPE_CHECKING:
    from squire_pipelines.warehouse.query import Answer, Session

PROMPT, MORE = "squire> ", "   ...> "
KEPT_LINES = 1000
_COMPLETED = 500
_MODES = ("table", "line", "json", "csv")
_HELP = """\
End a query with ; — it may have several lines. Ctrl-C breaks off a query, Ctrl-D or .quit ends.
.tables            the tables and views
.schema NAME       the columns of one, with what they mean
.mode [MODE]       how answers are written: table, line, json or csv
.limit [N]         how many rows are shown
.help              this
.quit              end"""
_TABLES = """
SELECT table_name AS name, 'table' AS kind, comment FROM duckdb_tables() WHERE NOT starts_with(table_name, '_')
UNION ALL SELECT view_name, 'view', comment FROM duckdb_views() WHERE NOT internal
ORDER BY kind, name
"""
_COLUMNS = """
SELECT column_name AS name, data_type AS type, comment
FROM duckdb_columns() WHERE NOT internal AND table_name = {name}
ORDER BY column_index
"""


class Shell:
    """One conversation with the warehouse. Each published file is opened when the next question comes."""

    def __init__(self, context: CliContext, path: Path, *, timeout_s: float, interactive: bool) -> None:
        self._context = context
        self._path = path
        self._timeout_s = timeout_s
        self._interactive = interactive
        self._session: Session | None = None
        self._opened: tuple[int, int] | None = None
        self.mode = "table"
        self.limit = LIMIT

    def close(self) -> None:
        """Close the file."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def session(self) -> "Session":
        """The newest published file, open. Raises WarehouseError."""
        from squire_pipelines.warehouse.query import Session  # noqa: PLC0415 - DuckDB, which --help does not need

        there = self._opened  # when the file is gone, what is open can still be read
        with suppress(FileNotFoundError):
            found = self._path.stat()
            there = (found.st_ino, found.st_mtime_ns)
        if self._session is None or there != self._opened:
            again = self._session is not None
            self.close()
            self._session = Session(self._path)
            self._opened = there
            if again and self._interactive:
                note("the warehouse has been published anew")
        return self._session

    def run(self, text: str) -> None:
        """Answer the queries in `text`. Raises QueryError, WarehouseError, KeyboardInterrupt."""
        session = self.session()
        for statement in session.statements(text):
            started = time.monotonic()
            answer = session.ask(statement, timeout_s=self._timeout_s)
            count, more = self._show(answer)
            if self._interactive:
                taken = time.monotonic() - started
                rows = f"{count} row{'' if count == 1 else 's'}"
                click.echo(f"{'the first ' if more else ''}{rows}, {taken:.3f} s")
            elif more:
                note(f"there are more rows than {self.limit}; .limit N")

    def _show(self, answer: "Answer") -> tuple[int, bool]:
        rows = answer.batches(self.limit)
        columns = history_rows.unique_names(answer.columns)
        if self.mode == "table":
            count = history_rows.print_table(self._context, columns, rows)
        else:
            show = {
                "line": history_rows.print_lines,
                "json": history_rows.print_json,
                "csv": history_rows.print_csv,
            }[self.mode]
            count = show(columns, rows)
        return count, count >= self.limit and bool(answer.fetch(1))

    def dot(self, line: str) -> bool:
        """Do a command that begins with a dot; False for the one that ends. Raises QueryError, WarehouseError."""
        name, _, rest = line.rstrip("; \t").partition(" ")
        rest = rest.strip()
        if name in {".quit", ".exit"}:
            return False
        if name == ".help":
            click.echo(_HELP)
        elif name == ".tables":
            self._table(_TABLES)
        elif name == ".schema" and rest:
            self._table(
                _COLUMNS.format(name="'" + rest.replace("'", "''") + "'"), f"there is no table or view {rest!r}"
            )
        elif name == ".mode" and rest in {*_MODES, ""}:
            self.mode = rest or self.mode
            click.echo(f"mode: {self.mode}")
        elif name == ".limit" and (not rest or (rest.isascii() and rest.isdigit() and int(rest) > 0)):
            self.limit = int(rest) if rest else self.limit
            click.echo(f"limit: {self.limit}")
        else:
            raise QueryError(f"{line.strip()!r} is none of the commands", hint=".help lists them; a query needs no dot")
        return True

    def _table(self, sql: str, nothing: str = "") -> None:
        answer = self.session().ask(sql, timeout_s=self._timeout_s)
        rows = answer.fetch(1000)
        if not rows and nothing:
            raise QueryError(nothing, hint=".tables lists what there is")
        history_rows.print_table(self._context, answer.columns, [rows])

    def names(self) -> list[str]:
        """Words to complete: tables, views, columns and commands."""
        answer = self.session().ask(
            "SELECT DISTINCT unnest([table_name, column_name]) FROM duckdb_columns() WHERE NOT internal"
        )
        found = [str(row[0]) for row in answer.fetch(10_000)]
        return sorted([*found, ".tables", ".schema", ".mode", ".limit", ".help", ".quit"])


def _with_readline(shell: Shell, history: Path) -> None:
    """Line editing, completion with Tab, and the lines of last time; without them where Python has no readline."""
    try:
        import readline  # noqa: PLC0415 - only at a terminal
    except ImportError:
        return
    readline.set_history_length(KEPT_LINES)
    with suppress(OSError):  # there is none yet, or it cannot be read: nothing that a person needs
        readline.read_history_file(history)
    atexit.register(_keep_history, readline.write_history_file, history)
    readline.set_completer(_completer(shell))
    readline.set_completer_delims(" \t\n,()=<>;")
    readline.parse_and_bind("tab: complete")


def _keep_history(write: Callable[[str], None], path: Path) -> None:
    # Queries may name what is private: nobody else reads them. That they cannot be kept is no reason to fail.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        write(str(path))


def _completer(shell: Shell) -> Callable[[str, int], str | None]:
    words: list[str] = []

    def complete(begun: str, number: int) -> str | None:
        if not words:
            with suppress(SquireError):  # without a warehouse there is nothing to complete
                words.extend(shell.names())
        found = [word for word in words if word.startswith(begun.lower())][:_COMPLETED]
        return found[number] if number < len(found) else None

    return complete


def _converse(shell: Shell) -> None:
    """Read from the terminal until the end; whatever goes wrong with a query is told, and the next one is asked for."""
    pending: list[str] = []
    while True:
        try:
            line = input(MORE if pending else PROMPT)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            pending = []
            continue
        if not pending and not line.strip():
            continue
        try:
            if not pending and line.lstrip().startswith("."):
                if not shell.dot(line.strip()):
                    return
                continue
            pending.append(line)
            text = "\n".join(pending)
            if _complete(text):
                pending = []
                shell.run(text)
        except KeyboardInterrupt:
            pending = []
            click.echo("broken off", err=True)
        except (QueryError, WarehouseError) as error:
            pending = []
            fail(error.message, error.hint, place=getattr(error, "place", ""))


def _complete(text: str) -> bool:
    """Whether the last query ends with a semicolon that is in no string and no comment."""
    if len(text) > MAX_QUERY:
        raise QueryError(f"the query has more than {MAX_QUERY} characters")
    return sqlite3.complete_statement(text) or text.strip() == ";"


def _read_all(shell: Shell, lines: Iterable[str]) -> None:
    """Run what comes from a pipe or a file; the first error ends it."""
    pending: list[str] = []
    for line in lines:
        if not any(each.strip() for each in pending) and line.lstrip().startswith("."):
            if not shell.dot(line.strip()):
                return
            continue
        pending.append(line)
        text = "".join(pending)
        if _complete(text):
            pending = []
            shell.run(text)
    if text := "".join(pending).strip():
        shell.run(text)  # the last needs no semicolon


@command(
    "shell",
    examples=("squire history shell", 'echo "from tasks limit 3;" | squire history shell'),
)
@timeout_option
@pass_cli_context
def shell(context: CliContext, timeout: float) -> None:
    """Ask the warehouse one question after the other.

    End a query with a semicolon; .help tells what else there is. The file is opened read-only, a query can neither
    read nor write other files, and when a newer warehouse has been published, the next query is put to that one.
    """
    interactive = sys.stdin.isatty()
    talk = Shell(context, context.home.warehouse, timeout_s=timeout, interactive=interactive)
    try:
        talk.session()  # that there is none yet is said at once
        if interactive:
            _with_readline(talk, context.home.state / "history-shell")
            click.echo(f"{context.home.warehouse}, read-only. End a query with ; and see .help")
            _converse(talk)
        else:
            _read_all(talk, sys.stdin)
    finally:
        talk.close()
