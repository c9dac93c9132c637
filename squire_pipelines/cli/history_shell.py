"""`squire history shell`: questions to the warehouse, one after another. The library isolates the queries."""

import atexit
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.failures import fail, note
from squire_pipelines.cli.freshness import note_what_is_missing
from squire_pipelines.cli.history_sql import (
    FORMS,
    LIMIT,
    MAX_QUERY,
    read_publication,
    timeout_option,
    write_answer,
    write_table,
)
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import counted
from squire_pipelines.errors import QueryError, SquireError, WarehouseError
from squire_pipelines.home import make_file, make_folder
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.warehouse.query_process import QueryProcess

PROMPT, MORE = "squire> ", "   ...> "
KEPT_LINES = 1000
_COMPLETED = 500
_HELP = """\
A query ends with ; and may have several lines. Ctrl-C stops a query, Ctrl-D or .quit ends the shell.
.tables            list the tables and views
.schema NAME       list the columns of one, with what they mean
.mode [MODE]       show or set how answers are written: table, line, json or csv
.limit [N]         show or set how many rows are shown
.help              show this help
.quit              end the shell"""
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
    """One session with the warehouse. A newly published file is opened when the next question comes."""

    def __init__(self, context: CliContext, path: Path, *, timeout_s: float, interactive: bool) -> None:
        self._context = context
        self._path = path
        self._timeout_s = timeout_s
        self._interactive = interactive
        self._session: QueryProcess | None = None
        self._opened: tuple[int, int] | None = None
        self.mode = "table"
        self.limit = LIMIT
        self.pending: list[str] = []

    def close(self) -> None:
        """Close the file if it is open."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def open_session(self) -> "QueryProcess":
        """Open the newest published file, unless it is open already. Raises WarehouseError."""
        from squire_pipelines.warehouse.query_process import QueryProcess  # noqa: PLC0415 - not for --help

        newest = self._opened  # when the file is gone, the open one can still be read
        with suppress(FileNotFoundError):
            status = self._path.stat()
            newest = (status.st_ino, status.st_mtime_ns)
        if self._session is None or newest != self._opened:
            is_reopened = self._session is not None
            self.close()
            self._session = QueryProcess(self._path)
            self._opened = newest
            if is_reopened and self._interactive:
                note("a new warehouse has been published: the query is put to that one")
            published_at = read_publication(self._session) if self._interactive else None
            if published_at is not None:
                note_what_is_missing(self._context, published_at)
        return self._session

    def feed(self, line: str) -> bool:
        """Take a line of input, run what it completes, and return whether to go on. Raises like `run` and `dot`."""
        if not self.pending and line.lstrip().startswith("."):
            return self.dot(line.strip())
        if self.pending or line.strip():
            self.pending.append(line)
        text = "\n".join(self.pending)
        if len(text) > MAX_QUERY:
            raise QueryError(f"the query has more than {MAX_QUERY} characters", hint="split it, or end it with ;")
        # Complete means that it ends with a semicolon that is in no string and no comment.
        if sqlite3.complete_statement(text) or text.strip() == ";":
            self.pending.clear()
            self.run(text)
        return True

    def run(self, text: str) -> None:
        """Answer the queries in `text`. Raises QueryError, WarehouseError, KeyboardInterrupt."""
        session = self.open_session()
        for statement in session.statements(text):
            started = time.monotonic()
            answer = session.execute(statement, timeout_s=self._timeout_s)
            count, has_more = write_answer(self._context, answer, self.mode, self.limit)
            if self._interactive:
                first = "the first " if has_more else ""
                write_line(f"{first}{counted(count, 'row')}, {time.monotonic() - started:.3f} s")
            elif has_more:
                note(f"there are more rows than these {count}; .limit N shows more")

    def dot(self, line: str) -> bool:
        """Run a command that begins with a dot; return False to end. Raises QueryError, WarehouseError."""
        name, _, rest = line.rstrip("; \t").partition(" ")
        rest = rest.strip()
        if name in {".quit", ".exit"}:
            return False
        if name == ".help":
            write_line(_HELP)
        elif name == ".tables":
            self._table(_TABLES)
        elif name == ".schema" and rest:
            self._table(
                _COLUMNS.format(name="'" + rest.replace("'", "''") + "'"), f"there is no table or view {rest!r}"
            )
        elif name == ".mode" and rest in {*FORMS, ""}:
            self.mode = rest or self.mode
            write_line(f"mode: {self.mode}")
        elif name == ".limit" and (not rest or (rest.isascii() and rest.isdigit() and int(rest) > 0)):
            self.limit = int(rest) if rest else self.limit
            write_line(f"limit: {self.limit}")
        else:
            hint = ".help lists the commands; a query needs no dot"
            raise QueryError(f"{line.strip()!r} is not a command of the shell", hint=hint)
        return True

    def _table(self, sql: str, nothing: str = "") -> None:
        answer = self.open_session().execute(sql, timeout_s=self._timeout_s)
        rows = answer.fetch(1000)
        if not rows and nothing:
            raise QueryError(nothing, hint=".tables lists what there is")
        write_table(self._context, answer.columns, [rows])

    def names(self) -> list[str]:
        """Return the words to complete: tables, views, columns and commands."""
        answer = self.open_session().execute(
            "SELECT DISTINCT unnest([table_name, column_name]) FROM duckdb_columns() WHERE NOT internal"
        )
        names = [str(row[0]) for row in answer.fetch(10_000)]
        return sorted([*names, ".tables", ".schema", ".mode", ".limit", ".help", ".quit"])


def _with_readline(shell: Shell, history: Path) -> None:
    """Turn on line editing, completion with Tab and the last session's lines, unless Python has no readline."""
    try:
        import readline  # noqa: PLC0415 - only at a terminal
    except ImportError:
        return
    readline.set_history_length(KEPT_LINES)
    with suppress(OSError):  # there is none yet, or it cannot be read: no reason to fail
        readline.read_history_file(history)
    atexit.register(_keep_history, readline.write_history_file, history)
    readline.set_completer(_completer(shell))
    readline.set_completer_delims(" \t\n,()=<>;")
    readline.parse_and_bind("tab: complete")


def _keep_history(write: Callable[[str], None], path: Path) -> None:
    # Queries may contain private text, so that only this user may read them. A failure to keep them is no error.
    with suppress(OSError):
        make_folder(path.parent)
        write(str(make_file(path)))


def _completer(shell: Shell) -> Callable[[str, int], str | None]:
    words: list[str] = []

    def complete(begun: str, number: int) -> str | None:
        if not words:
            with suppress(SquireError):  # without a warehouse there is nothing to complete
                words.extend(shell.names())
        matches = [word for word in words if word.startswith(begun.lower())][:_COMPLETED]
        return matches[number] if number < len(matches) else None

    return complete


def _converse(shell: Shell) -> None:
    """Read queries from the terminal until the end, and go on after a query that failed."""
    while True:
        try:
            line = input(MORE if shell.pending else PROMPT)
        except EOFError:
            write_line()
            return
        except KeyboardInterrupt:
            write_line()
            shell.pending.clear()
            continue
        try:
            if not shell.feed(line):
                return
        except KeyboardInterrupt:
            shell.pending.clear()
            write_line("The query was stopped.", err=True)
        except (QueryError, WarehouseError) as error:
            shell.pending.clear()
            fail(error.message, error.hint, place=getattr(error, "place", ""))


def _read_all(shell: Shell, lines: Iterable[str]) -> None:
    """Run queries from a pipe or a file until the first error."""
    for line in lines:
        if not shell.feed(line.rstrip("\n")):
            return
    if text := "\n".join(shell.pending).strip():
        shell.run(text)  # the last query needs no semicolon


@command("shell", examples=("squire history shell", 'echo "from tasks limit 3;" | squire history shell'))
@timeout_option
@with_context
def run_shell(context: CliContext, timeout: float) -> None:
    """Ask the warehouse one question after another.

    End a query with a semicolon; .help lists the shell's own commands. The file is opened read-only, a query can
    neither read nor write other files, and after a new warehouse has been published, the next query is put to that one.
    """
    interactive = sys.stdin.isatty()
    with closing(Shell(context, context.warehouse, timeout_s=timeout, interactive=interactive)) as shell:
        shell.open_session()  # a warehouse that does not exist yet is an error at once
        if interactive:
            _with_readline(shell, context.home.state / "history-shell")
            write_line(f"{context.warehouse}, read-only. End a query with ; and see .help")
            _converse(shell)
        else:
            _read_all(shell, sys.stdin)
