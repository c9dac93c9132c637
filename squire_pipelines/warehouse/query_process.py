"""Runs people's queries in a child process: what DuckDB does not bound itself, the kernel does.

DuckDB's limits do not hold within a function: one text of 2 GB took 4 GB of memory, and 73 s under a limit of 5 s. The
child has a limit on its address space, and is killed when it does not answer in time.
"""

import contextlib
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self, cast

from squire_pipelines.errors import QueryError, SquireError
from squire_pipelines.judgement import child_command, child_environment, read_values
from squire_pipelines.warehouse.answers import MEMORY_LIMIT, TIMEOUT_S, Answer, too_large, too_slow

if TYPE_CHECKING:
    from squire_pipelines.warehouse.query import QueryCursor

OPEN_TIMEOUT_S = 60.0
"""How long the child may take to open the file, on a busy machine too."""
MAX_MESSAGE = 256 * 2**20
"""Bytes of the rows that are handed on at once."""
_GRACE_S = 1.0
"""How long a query whose time is over may take to be interrupted, before its process is killed."""
_OWN_MEMORY = 256 * 2**20
"""Bytes for what is not the engine's: the rows that Python gets."""
_LENGTH_BYTES = 8
_CHUNK = 1024 * 1024


class QueryProcess:
    """The published file, opened by a child for several queries, one after the other.

    A query that had to be killed takes the child with it; the next one gets another.

    Args:
        path: The warehouse's file.
        memory_limit: Bytes; a query that needs more fails, nothing is spilled to the disk.

    Raises:
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """

    def __init__(self, path: Path, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._path = path
        self._memory_limit = memory_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            child_command(__name__),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us to hand on
        )
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._ask(OPEN_TIMEOUT_S, OPEN_TIMEOUT_S, "open", str(self._path.absolute()), self._memory_limit)
            undo.pop_all()

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def statements(self, sql: str) -> range:
        """Return the numbers of the statements in `sql`. Raises QueryError when it cannot be parsed."""
        return range(cast("int", self.ask(TIMEOUT_S, "statements", sql)))

    def execute(self, query: str | int, *, timeout_s: float = TIMEOUT_S) -> "ProcessAnswer":
        """Run one query, as text or by its number in `statements`; the result of the one before ends with it.

        Args:
            query: One statement that reads, see `query.QuerySession.execute`.
            timeout_s: After this many seconds of work the query is ended.

        Raises:
            QueryError: The statement is wrong, does not read, took too long, or needed too much memory.
        """
        return ProcessAnswer(self, query, timeout_s)

    def ask(self, seconds: float, *request: object, timeout_s: float | None = None) -> object:
        """Return the child's answer to a request. Raises QueryError, WarehouseError."""
        if self._process is None:
            self._start()
        return self._ask(seconds, seconds if timeout_s is None else timeout_s, *request)

    def _ask(self, seconds: float, timeout_s: float, *request: object) -> object:
        process = self._process
        assert process is not None  # noqa: S101 - both callers have made sure
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died, which reading notices
                _send(process.stdin, pickle.dumps(request))
            kind, answer = cast(
                "tuple[str, object]", read_values(_receive(process.stdout, max(0.0, seconds) + _GRACE_S))
            )
        except TimeoutError:
            self.close()
            raise too_slow(timeout_s) from None
        except MemoryError:
            self.close()
            raise too_large() from None
        except EOFError:
            self.close()
            code = process.returncode
            raise QueryError(
                f"the query ended the process that ran it (exit code {code})", hint="narrow it down: aggregate"
            ) from None
        except BaseException:  # Ctrl-C too: what is on its way would be the answer to the next request
            self.close()
            raise
        if kind == "answer":
            return answer
        if isinstance(answer, SquireError):
            raise answer
        self.close()
        raise QueryError(f"the query failed: {str(answer)[:1000]}")


class ProcessAnswer(Answer):
    """A result that is read in parts from the child."""

    def __init__(self, process: QueryProcess, query: str | int, timeout_s: float) -> None:
        self._process = process
        self._timeout_s = self._remaining_s = timeout_s
        self.columns, self.types = cast("Any", self._ask("execute", query, timeout_s))

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """Return the next rows, at most `count`; none at the end. Raises QueryError."""
        return cast("list[tuple[Any, ...]]", self._ask("fetch", count))

    def _ask(self, *request: object) -> object:
        # Only the engine's own time counts: a person who reads page by page is not too slow.
        started = time.monotonic()
        try:
            return self._process.ask(self._remaining_s, *request, timeout_s=self._timeout_s)
        finally:
            self._remaining_s -= time.monotonic() - started


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
    stream.flush()


def _receive(stream: IO[bytes], seconds: float) -> bytes:
    """Return the next message. Raises TimeoutError, EOFError, and MemoryError when it is too long."""
    deadline = time.monotonic() + seconds
    length = int.from_bytes(_read(stream, _LENGTH_BYTES, deadline), "big")
    if length > MAX_MESSAGE:
        raise MemoryError
    return _read(stream, length, deadline)


def _read(stream: IO[bytes], length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        chunk = os.read(stream.fileno(), min(_CHUNK, length - len(data)))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


class _Engine:
    """The child's side: answers one request after another."""

    def __init__(self, path: str, memory_limit: int) -> None:
        from squire_pipelines.warehouse.query import QuerySession  # noqa: PLC0415 - DuckDB, for the child alone

        self._session = QuerySession(Path(path), memory_limit=memory_limit)
        self._statements: list[Any] = []
        self._cursor: QueryCursor | None = None
        _lower_limits(memory_limit + _OWN_MEMORY)

    def statements(self, sql: str) -> int:
        self._statements = self._session.statements(sql)
        return len(self._statements)

    def execute(self, query: str | int, timeout_s: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        self._cursor = None
        statement = query if isinstance(query, str) else self._statements[query]
        self._cursor = self._session.execute(statement, timeout_s=timeout_s)
        return self._cursor.columns, self._cursor.types

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        assert self._cursor is not None  # noqa: S101 - `ProcessAnswer` fetches after it has executed
        return self._cursor.fetch(count)


def _lower_limits(more: int) -> None:
    """Permit so many bytes more of address space than are taken already, and no file of what was in memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS knows no limit of the address space
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> NoReturn:
    """Answer requests from standard input until it ends: what the child does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine: _Engine | None = None
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            length = int.from_bytes(sys.stdin.buffer.read(_LENGTH_BYTES), "big")
            if not length:  # our parent has ended
                os._exit(0)
            name, *arguments = pickle.loads(sys.stdin.buffer.read(length))  # noqa: S301 - our own parent's
            if engine is None:
                engine = _Engine(*arguments)
                result: tuple[str, object] = "answer", None
            else:
                result = "answer", getattr(engine, name)(*arguments)
            message = pickle.dumps(result)
        except SquireError as error:
            error.__cause__ = error.__context__ = None
            message = pickle.dumps(("error", error.with_traceback(None)))
        except MemoryError:
            message = pickle.dumps(("error", too_large()))
        except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
            message = pickle.dumps(("failure", f"{type(error).__name__}: {error}"[:1000]))
        if len(message) > MAX_MESSAGE:
            message = pickle.dumps(("error", too_large()))
        _send(answers, message)
