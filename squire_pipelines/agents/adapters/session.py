"""Reads one attempt's session as it passes: lines go to the agent's parser, entries to the sums and `transcript.jsonl`.

The parser may be a stranger's, and what it reads is an agent's: neither can end the run or grow a file without end.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue, ValidationError

from squire_pipelines.agents.adapters.protocol import Agent, GatewaySeen, Parser, SessionFailure, SessionResult
from squire_pipelines.agents.adapters.transcript import Entry, SessionNote, SessionTotals, dump, load, total
from squire_pipelines.observability.logging import Component, get_logger

FILE = "transcript.jsonl"
MAX_BYTES = 8 * 2**20
MAX_ENTRIES = 100_000
_MAX_ENTRIES_PER_LINE = 100
_MAX_LINE_BYTES = 64 * 1024
_CUT = SessionNote(text="the transcript is cut here: it reached its limit")
_log = get_logger(Component.AGENT)


class SessionReader:
    """Reads an agent's lines; used by the one thread that drains its output.

    Args:
        agent: Whose output it is.
        path: Where the transcript goes; replaced at the first entry, or added to with `append`.
        max_bytes: Of the file. Sums go on beyond it.
    """

    def __init__(self, agent: Agent, path: Path, *, max_bytes: int = MAX_BYTES, append: bool = False) -> None:
        self._agent = agent
        self._parse = agent.parser()
        self._path = path
        self._left = max_bytes - (path.stat().st_size if append and path.is_file() else 0)
        self._append = append
        self._written = False
        # An adopted run goes on with what its first supervisor wrote.
        self.totals = total(read(path)) if append and path.is_file() else SessionTotals()
        self.cut = False
        self.failure: str | None = None
        self._events = 0

    @property
    def unread_events(self) -> int:
        """How many lines looked like events, where none of them means anything to the agent's parser."""
        return 0 if self.totals.entries else self._events

    @property
    def said_last(self) -> bool:
        """Whether the program has nothing left to do by its events, where such a program ends at once."""
        return self.totals.said_last and bool(getattr(self._agent, "ends_after_last_word", False))

    def line(self, text: str) -> None:
        """Take one line of the output. Never raises: what goes wrong is in `failure`, once."""
        self._read(text, self._parse, _MAX_ENTRIES_PER_LINE)

    def report(self, text: str, read: Parser) -> None:
        """Take the file that a program left which prints no events. Never raises, as `line`."""
        self._read(text, read, MAX_ENTRIES)

    def _read(self, text: str, parse: Parser, most: int) -> None:
        if self.failure is not None:
            return
        self._events += bool(self._agent.protocols) and text.startswith("{") and '"type"' in text
        try:
            for number, entry in enumerate(parse(text)):
                if number >= most:
                    break
                self._take(entry)
        except OSError as error:
            self._fail(f"the transcript cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - a stranger's parser may raise anything; the run goes on without it
            self._fail(f"the agent's parser failed: {type(error).__name__}: {error}"[:300])

    def _take(self, entry: Entry) -> None:
        self.totals = self.totals.after(entry)
        if self.cut:
            return
        record = dump(entry).encode() + b"\n"
        cut_line = dump(_CUT).encode() + b"\n"
        if len(record) + len(cut_line) > self._left or self.totals.entries > MAX_ENTRIES:
            self.cut, record = True, cut_line
        self._left -= len(record)
        if not self._written and not self._append:
            self._path.unlink(missing_ok=True)
        with self._path.open("ab") as file:
            if not self._written:
                self._path.chmod(0o600)
            file.write(record)
        self._written = True

    def _fail(self, why: str) -> None:
        self.failure = why
        _log.warning("agent.transcript_ended", agent=self._agent.name, reason=why)

    def judge(
        self, exit_code: int | None, *, changed: bool | None, gateway: GatewaySeen | None = None
    ) -> SessionFailure | None:
        """Ask the agent's own rule about a program that ended by itself; None where it sees no failure, or fails."""
        if exit_code is None:
            return None
        try:
            return self._agent.judge(SessionResult(self.totals, exit_code, changed, gateway))
        except Exception as error:  # noqa: BLE001 - likewise a stranger's
            self._fail(f"the agent's judge failed: {type(error).__name__}: {error}"[:300])
        return None

    def facts(self) -> dict[str, JsonValue]:
        """Return what goes into the evidence; empty for an agent that reports nothing."""
        if not self.totals.entries and self.failure is None:
            return {"unread_events": self._events} if self._events else {}
        facts = self.totals.facts()
        if self.cut:
            facts["transcript_cut"] = True
        if self.failure is not None:
            facts["transcript_failure"] = self.failure
        return facts


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a transcript; lines that are none are left out. Raises OSError."""
    with path.open("rb") as file:
        for _ in range(MAX_ENTRIES + 1):
            line = file.readline(_MAX_LINE_BYTES)
            if not line:
                return
            try:
                yield load(line.decode("utf-8", errors="replace"))
            except ValidationError:
                continue
