"""Follows the log of a pod's container into an attempt's log: after a cut no line is lost, and none comes twice."""

import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

from squire_pipelines.agents.kubernetes.api import MAX_LINE_BYTES, ClusterApi, GoneError
from squire_pipelines.agents.kubernetes.job import CONTAINER
from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.agents.logs import LogSink
from squire_pipelines.errors import EngineError
from squire_pipelines.observability.logging import Component, get_logger, with_context

_log = get_logger(Component.AGENT)
# A line with its time: the node writes nanoseconds, without zeros at their end, in its own time zone.
_STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")
# Standard output and standard error are stamped apart, so that a line may stand below one that is a little younger.
_OVERLAP = timedelta(seconds=2)
_PAUSE_S = 0.5
_FINISH_S = 60.0
# Lines of one second that are remembered, so that they are known when they are read again.
_MAX_REMEMBERED = 200_000


class ResumableLines:
    """Tells which lines of a log that is read again from some second on are new. Pure.

    The API reads a log again from a whole second on, so that the lines of the last seconds come twice. They are known
    by their time, to the nanosecond, and their text; as many as were taken are left out, whatever their order is.
    """

    def __init__(self) -> None:
        self._from: datetime | None = None
        self._taken: dict[datetime, Counter[bytes]] = {}
        self._repeated: Counter[bytes] = Counter()
        self._goes_on = False

    @property
    def since(self) -> str:
        """The second from which to read again, as RFC 3339; empty for the beginning."""
        return f"{self._from:%Y-%m-%dT%H:%M:%SZ}" if self._from is not None else ""

    def begin_again(self) -> None:
        """Expect the lines from `since` on once more."""
        self._goes_on = False
        self._repeated = sum(self._taken.values(), Counter())

    def take(self, line: bytes) -> bytes | None:
        """Return the line without its time, or what follows of a long one; None where it was taken, or is none."""
        stamp = _STAMPED.match(line)
        if stamp is None:
            return line if self._goes_on and line else None
        is_repeated = self._repeated[line] > 0
        # What follows of a line that came in pieces has no time of its own.
        self._goes_on = not is_repeated and len(line) == MAX_LINE_BYTES
        if is_repeated:
            self._repeated[line] -= 1
            return None
        self._note(line, stamp)
        return line[stamp.end() :]

    def _note(self, line: bytes, stamp: re.Match[bytes]) -> None:
        try:
            second = datetime.fromisoformat((stamp[1] + stamp[2]).decode()).astimezone(UTC)
        except (ValueError, OverflowError):
            return  # no day of the calendar: it is taken, and would be taken twice
        if second not in self._taken and (self._from is None or second - _OVERLAP > self._from):
            self._from = second - _OVERLAP
            self._taken = {old: lines for old, lines in self._taken.items() if old >= self._from}
        if second >= (self._from or second) and sum(map(len, self._taken.values())) < _MAX_REMEMBERED:
            self._taken.setdefault(second, Counter())[line] += 1


class PodLog:
    """A thread that reads a container's log into a sink until `finish`, and begins again where a connection breaks.

    Args:
        api: Is asked.
        pod: The pod's name.
        sink: Takes the lines.
        container: Of the pod.
    """

    def __init__(self, api: ClusterApi, pod: str, sink: LogSink, *, container: str = CONTAINER) -> None:
        self._api = api
        self._pod = pod
        self._sink = sink
        self._container = container
        self._lines = ResumableLines()
        self._ended = threading.Event()
        self._is_abandoned = False
        self._thread = threading.Thread(target=with_context(self._follow), name="squire-pod-log", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Read what is left of the log when the container has ended, for a minute at most. May be repeated."""
        self._ended.set()
        self._thread.join(_FINISH_S)

    def abandon(self) -> None:
        """Read no more, and wait for nothing: the container lives on, and somebody else reads its log."""
        self._is_abandoned = True
        self._ended.set()

    def _follow(self) -> None:
        while not self._is_abandoned:
            was_ended = self._ended.is_set()
            try:
                self._read(follow=not was_ended)
            except (EngineError, GoneError) as error:
                _log.debug("agent.log_cut", pod=self._pod, reason=str(error)[:200])
                if was_ended:
                    self._give_up(str(error))
                    return
            except ClusterRefusalError as error:
                # 400: the container has not begun; 404: the pod is gone, and with it what was not read.
                if was_ended or error.status not in {400, 404}:
                    self._give_up(error.message)
                    return
            else:
                if was_ended:
                    return
            self._ended.wait(_PAUSE_S)

    def _read(self, *, follow: bool) -> None:
        self._lines.begin_again()
        for line in self._api.log(self._pod, self._container, follow=follow, since=self._lines.since):
            if self._is_abandoned:
                return
            text = self._lines.take(line)
            if text is not None:
                self._sink.feed(text + b"\n")

    def _give_up(self, reason: str) -> None:
        _log.warning("agent.log_may_lack_its_end", reason=reason[:200])
