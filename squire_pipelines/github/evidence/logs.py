"""The part of a job's log that matters: taken in chunks, cleaned, and cut around its first error.

No I/O. However long a log is, no more of it is in memory than may be shown: the lines before its first error, those
after it, and the last ones. Secrets are taken out of what is shown, after colour codes, which could split one.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from squire_pipelines.domain.evidence import MAX_LOG_BYTES, MAX_LOG_LINES
from squire_pipelines.domain.terminal_text import plain, without_sequences
from squire_pipelines.secrets.redact import MASK

MAX_READ_BYTES = 32 * 2**20
"""What is read of one log at most; the rest is not fetched."""

MAX_LINE_CHARS = 1_000
LINES_BEFORE = 30
LINES_AFTER = 120
LINES_AT_END = MAX_LOG_LINES - LINES_BEFORE - LINES_AFTER - 2  # the error's own line, and the mark of what is left out

_MAX_LINE_BYTES = 16 * 1024
_MAX_KEY_LINES = 500
_STAMP = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?Z ?")
_MARKER = re.compile(r"^##\[(?:group|endgroup|section|command)\]")
_ERROR = re.compile(
    r"^##\[error\](?!Process completed with exit code)"
    r"|^\s*(?:E {2,}|FAIL(?:ED|URE)?\b|ERROR\b|FATAL\b|Traceback \(most recent call last\)|panic:|not ok \d|[✕✗✘])"
    r"|\b[A-Za-z]{0,80}(?:Error|Exception)(?:\[[A-Z]\d+\])?:"
    r"|\b(?:error|fatal)(?:\[[A-Z]+\d+\]| TS\d+)?: "
    r"|\bnpm (?:ERR!|error) "
    r"|: undefined reference to |\bcommand not found\b|\bassertion failed\b|\bSegmentation fault\b"
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def plain_line(raw: bytes) -> tuple[datetime | None, str]:
    """Return when a line was written, where it says so, and its text as a terminal would leave it.

    Bytes that are no UTF-8 become marks; of a progress bar, which overwrites itself, the last state is left.
    """
    text = raw.decode("utf-8", "replace").replace("\ufeff", "")
    written_at = None
    if stamp := _STAMP.match(text):
        text, written_at = text[stamp.end() :], _time(stamp[1])
    states = [state for state in without_sequences(text).split("\r") if state.strip()]
    text = plain(states[-1]) if states else ""
    return written_at, _MARKER.sub("", text).rstrip()


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{text}+00:00")
    except ValueError:  # such as the thirteenth month
        return None


class LogExcerpt:
    """Takes a log in chunks and keeps the part around its first error.

    Args:
        redact: Takes secrets out of a text.
        since: When the step that failed began: an earlier line is no error of its.
        until: When it ended: what follows cleans up after it.
        max_bytes: See `MAX_READ_BYTES`.
    """

    def __init__(
        self,
        redact: Callable[[str], str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        max_bytes: int = MAX_READ_BYTES,
    ) -> None:
        self._redact = redact
        self._since, self._until = since, until
        self._bytes_left = max_bytes
        self._partial = bytearray()
        self._written_at: datetime | None = None
        self._recent: deque[str] = deque(maxlen=MAX_LOG_LINES - 1)  # all there is until the first error is found
        self._around: list[str] = []
        self._end: deque[str] = deque(maxlen=LINES_AT_END)
        self._lines = self._lines_from_around = 0
        self._key_lines = 0

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more are wanted."""
        kept = chunk[: self._bytes_left]
        self._bytes_left -= len(kept)
        *lines, rest = kept.split(b"\n")
        for line in lines:
            self._extend(line)
            self._take(bytes(self._partial))
            self._partial.clear()
        self._extend(rest)
        return self._bytes_left > 0

    def result(self) -> tuple[str, int]:
        """Return the excerpt, and how many lines of the log are not in it. Call it once, at the end."""
        if self._partial:
            self._take(bytes(self._partial))
        first, last = (self._around, list(self._end)) if self._around else (list(self._recent), [])
        left_out = self._lines - len(first) - len(last)
        if self._around and last and (between := self._lines_from_around - len(self._around) - len(last)) > 0:
            last = [f"… ({between} lines left out)", *last]
        text = self._redact("\n".join([*first, *last]))
        return fit(text.split("\n"), MAX_LOG_BYTES), left_out

    def _extend(self, part: bytes) -> None:
        """Add to the line under way, up to its bound; of one that overwrites itself the last state is kept."""
        self._partial += part
        if len(self._partial) > _MAX_LINE_BYTES:
            start = self._partial.rstrip(b"\r").rfind(b"\r") + 1
            self._partial = self._partial[start : start + _MAX_LINE_BYTES]

    def _take(self, raw: bytes) -> None:
        written_at, line = plain_line(raw)
        self._written_at = written_at or self._written_at
        if self._is_after(self._until):
            return
        if self._key_lines:  # within a private key, whose lines alone do not look like one
            ended = _KEY_END.search(line) is not None or self._key_lines >= _MAX_KEY_LINES
            self._key_lines = 0 if ended else self._key_lines + 1
            return
        if _KEY_BEGIN.search(line) and not _KEY_END.search(line):
            self._key_lines, line = 1, MASK
        if line:
            self._keep(line)

    def _keep(self, line: str) -> None:
        self._lines += 1
        if not self._around:
            self._recent.append(line)
            if (self._since is None or not self._is_before(self._since)) and _ERROR.search(line):
                self._around = list(self._recent)[-LINES_BEFORE - 1 :]
                self._lines_from_around = len(self._around)
            return
        self._lines_from_around += 1
        if len(self._around) < LINES_BEFORE + 1 + LINES_AFTER:
            self._around.append(line)
        else:
            self._end.append(line)

    def _is_before(self, moment: datetime) -> bool:
        return self._written_at is not None and self._written_at < moment

    def _is_after(self, moment: datetime | None) -> bool:
        return moment is not None and self._written_at is not None and self._written_at > moment


def fit(lines: Sequence[str], limit: int) -> str:
    """Return the lines as one text of at most `limit` bytes; long lines give way to short ones."""
    data = [line[:MAX_LINE_CHARS].encode("utf-8", "replace") for line in lines]
    share = max(map(len, data), default=0)
    while share and sum(min(len(line), share) + 1 for line in data) > limit:
        share = share * 9 // 10
    return "\n".join(line[:share].decode("utf-8", "ignore") for line in data)[:limit]
