"""Has the processes of a home take changed code: it is tried in a child first, and taken between two runs.

Dagster's reload of a location has the same server show its definitions again, which imports nothing anew. So the code
server is started again, whose children the runs are: a change waits until none is under way.
"""

import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from squire_pipelines.errors import SquireError
from squire_pipelines.runtime.load_check import PREFIX
from squire_pipelines.runtime.processes import Child
from squire_pipelines.runtime.services import CODE_SERVER, Services, first_error

CHECK = "code-check"
CHECK_TIMEOUT_S = 120.0
LOAD_CHECK = [sys.executable, "-m", "squire_pipelines.runtime.load_check"]
_LOOK_AT_RUNS_S = 2.0
_SHOWN_FILES = 3


class CodeReload:
    """Follows changes, a step at each look.

    Args:
        services: The processes, of which those in `names` run the code.
        changes: Returns the files that have changed since the last call.
        runs_under_way: Returns how many runs would be cut off now.
        say: Tells people, one line at a time.
        names: The processes that are started again.
        monotonic: Seconds.
    """

    def __init__(
        self,
        services: Services,
        *,
        changes: Callable[[], Sequence[Path]],
        runs_under_way: Callable[[], int],
        say: Callable[[str], None],
        names: Collection[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._changes = changes
        self._runs_under_way = runs_under_way
        self._say = say
        self._code = frozenset(names)
        self._monotonic = monotonic
        self._check: Child | None = None
        self._check_until = 0.0
        self._waiting: set[str] = set()
        self._has_said_wait = False
        self._look_at_runs = 0.0

    def look(self) -> None:
        """Go on with what has changed. Raises NotReachableError where a process cannot be started again."""
        if changed := self._changes():
            names = ", ".join(path.name for path in changed[:_SHOWN_FILES])
            more = f" and {len(changed) - _SHOWN_FILES} more" if len(changed) > _SHOWN_FILES else ""
            self._say(f"code: {names}{more} changed; trying to load it")
            self._end_check()
            self._check = self._services.start_once(CHECK, LOAD_CHECK)
            self._check_until = self._monotonic() + CHECK_TIMEOUT_S
        if self._check is not None:
            self._look_at_check(self._check)
        if self._waiting:
            self._restart_between_runs()

    def restart(self, names: Collection[str]) -> None:
        """Have processes started again, the code server when no run is under way."""
        self._waiting |= set(names)

    def _look_at_check(self, check: Child) -> None:
        if check.alive and self._monotonic() < self._check_until:
            return
        code, lines = check.process.poll(), check.last_lines(1000)
        self._end_check()
        if code == 0:
            self.restart(self._code)
            return
        reasons = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
        reason = reasons[-1] if reasons else first_error(lines)
        if code is None:
            reason = f"it was not loaded within {CHECK_TIMEOUT_S:g} s"
        self._say(f"code: not taken, what was loaded before goes on: {reason}")

    def _end_check(self) -> None:
        if self._check is not None:
            self._check.stop(grace_s=0)
            self._check = None

    def _restart_between_runs(self) -> None:
        if CODE_SERVER in self._waiting:
            if self._monotonic() < self._look_at_runs:
                return
            self._look_at_runs = self._monotonic() + _LOOK_AT_RUNS_S
            if runs := self._runs_under_way():
                if not self._has_said_wait:
                    noun = "run that is" if runs == 1 else "runs that are"
                    self._say(f"reload: waits for {runs} {noun} under way, and a new start of `squire dev` for none")
                self._has_said_wait = True
                return
        names, self._waiting, self._has_said_wait = self._waiting, set(), False
        try:
            restarted = self._services.restart(names)
        except SquireError as error:
            self._say(f"reload: {error}")  # `keep_up` goes on to start it
        else:
            self._say(f"reload: {', '.join(restarted)} started again")
