"""Why the ready tasks of a cycle do not start: their agents are asked about as the sensor `dispatch` asks."""

from collections.abc import Callable, Sequence
from functools import cache

from squire_pipelines.agents.preflight import Preflight
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.assignment import Assignments, find_assignments, problems_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.cycle import CycleState, CycleTask
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings import Settings

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
        self._find_key = cache(lambda name: find_secret(name, settings.home))
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
        assignments = find_assignments(
            self._ledger, self._settings, self._find_key, lambda agent: self._preflight.problem(agent, deadline)
        )
        if not assignments.problems:
            return None
        this_look = [(row.task_id, row.status) for row in state.under_way], {*map(str, assignments.problems.values())}
        if this_look != self._last_look:  # the tasks, of which there may be many, are not read again for nothing
            self._last_look, self._problem = this_look, self._why_none_starts(state, ready, assignments)
        return self._problem

    def _why_none_starts(
        self, state: CycleState, ready: Sequence[CycleTask], assignments: Assignments
    ) -> SquireError | None:
        with self._ledger.read() as tx:
            problem_by_task = problems_of(tx, assignments, [row.task_id for row in ready])
        for row in ready:
            if (agent_and_problem := problem_by_task[row.task_id]) is not None:
                agent, problem = agent_and_problem
                self._say_once(f"{row.repository}: tasks for the agent {agent} wait: {problem}")
        problems = [pair[1] for pair in problem_by_task.values() if pair is not None]
        return problems[0] if len(problems) == len(state.under_way) else None

    def _say_once(self, line: str) -> None:
        if line not in self._lines_said:
            self._lines_said.add(line)
            self._say(line)
