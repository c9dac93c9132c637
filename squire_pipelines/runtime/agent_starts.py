"""Why the ready tasks of a cycle do not start: their agents are asked about as the sensor `dispatch` asks.

A task whose provider refused what only the user can change waits, too, until the settings or a key are others.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from squire_pipelines.agents.preflight import Preflight
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.execution.assignment import Assignments, find_assignments, problems_of
from squire_pipelines.execution.serving_workers import start_check
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.ledger.settings_waits import waiting_for_settings
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.cycle import CycleState, CycleTask
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings

_ENGINE_S = 5.0


class AgentStarts:
    """Looks at a cycle's ready tasks again and again, and says of each agent once that it cannot start.

    Args:
        ledger: Has the tasks.
        settings: Say which agents they get.
        say: Takes one line of plain text.
    """

    def __init__(self, ledger: Ledger, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._say = say
        self._find_key = cache(lambda name: find_secret(name, settings.secret_sources))
        self._preflight = Preflight()
        self._lines_said: set[str] = set()
        self._last_look: object = None
        self._problem: SquireError | None = None

    def look(self, state: CycleState) -> SquireError | None:
        """Return why no task can start; None when one can or runs, or when more tasks may come of the cycle."""
        ready = [row for row in state.under_way if row.status is TaskStatus.READY]
        if not ready or not state.planned:
            return None
        deadline = Deadline.after(_ENGINE_S)
        check = start_check(self._ledger, self._settings, lambda agent: self._preflight.problem(agent, deadline))
        assignments = find_assignments(self._ledger, self._settings, self._find_key, check)
        waits = self._waits_for_user(ready)
        if not assignments.problems and not waits:
            return None
        problems = {*map(str, assignments.problems.values())}
        this_look = [(row.task_id, row.status) for row in state.under_way], problems, waits
        if this_look != self._last_look:  # the tasks, of which there may be many, are not read again for nothing
            self._last_look, self._problem = this_look, self._why_none_starts(state, ready, assignments, waits)
        return self._problem

    def _waits_for_user(self, ready: Sequence[CycleTask]) -> dict[str, str]:
        """Return the tasks that wait for another setting or key, and what they say is to be changed."""
        if all(row.cause != Cause.CONFIGURATION for row in ready):
            return {}
        mark_of = cache(lambda repository: settings_mark(self._settings, repository, self._find_key))
        with self._ledger.read() as tx:
            waiting = waiting_for_settings(tx)
        return {task.id: task.message for task in waiting if task.settings_mark == mark_of(task.repository)}

    def _why_none_starts(
        self, state: CycleState, ready: Sequence[CycleTask], assignments: Assignments, waits: Mapping[str, str]
    ) -> SquireError | None:
        problems: list[SquireError] = []
        for row in ready:
            if (message := waits.get(row.task_id)) is not None:
                self._say_once(f"{row.repository}: tasks wait for a change of yours: {message}")
                problems.append(ConfigError(message or "the task waits for a change of the settings"))
        others = [row for row in ready if row.task_id not in waits]
        with self._ledger.read() as tx:
            problem_by_task = problems_of(tx, assignments, [row.task_id for row in others])
        for row in others:
            if (agent_and_problem := problem_by_task[row.task_id]) is not None:
                agent, problem = agent_and_problem
                self._say_once(f"{row.repository}: tasks for the agent {agent} wait: {problem}")
        problems += [pair[1] for pair in problem_by_task.values() if pair is not None]
        return problems[0] if len(problems) == len(state.under_way) else None

    def _say_once(self, line: str) -> None:
        if line not in self._lines_said:
            self._lines_said.add(line)
            self._say(line)
