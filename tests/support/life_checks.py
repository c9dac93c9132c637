"""What must hold of a pull request's life in the end, or at any moment at which Squire has come to rest."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger import outcomes, tasks
from squire_pipelines.ledger.outcomes import Outcome
from tests.support.life_agent import is_kept
from tests.support.life_definition import Life
from tests.support.life_facts import FACTS
from tests.support.life_squire import LifeSquire
from tests.support.life_world import LifeForge


class Wrong(StrEnum):
    """What may be wrong with a life."""

    ENDING = "endings told wrongly"
    FACT = "merges, comments and boxes that are not as they must be"
    SECOND_PULL = "second pull requests"
    LOST = "work lost, or done twice"
    PUSHED_OVER = "pushes over a person's commit"
    SAID_TWICE = "comments twice"
    UNDONE = "left undone"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the end, in a sentence."""

    kind: Wrong
    text: str


class LifeChecks:
    """Looks for what is wrong with a life.

    Args:
        life: Its script.
        forge: Where it happens.
        squire: Follows it.
    """

    def __init__(self, life: Life, forge: LifeForge, squire: LifeSquire) -> None:
        self._life, self._forge, self._squire = life, forge, squire

    def problems(self, task_id: str) -> tuple[Problem, ...]:
        """Return what is wrong with the pull request of a task; nothing where all is well."""
        self._task = task_id
        checks = {
            Wrong.ENDING: self._wrong_endings,
            Wrong.FACT: self._wrong_facts,
            Wrong.SECOND_PULL: self._too_many_pulls,
            Wrong.LOST: self._lost_work,
            Wrong.PUSHED_OVER: self._overwritten,
            Wrong.SAID_TWICE: self._said_twice,
            Wrong.UNDONE: self._left_undone,
        }
        return tuple(Problem(kind, text) for kind, check in checks.items() for text in check())

    def _outcome(self) -> Outcome | None:
        with self._squire.ledger.read() as tx:
            return outcomes.get(tx, self._task)

    def _wrong_endings(self) -> Iterator[str]:
        outcome = self._outcome()
        if outcome is None:
            yield "there is no pull request on record"
            return
        stands = (outcome.follow_state, outcome.follow_reason or "")
        if self._life.ends is not None and (
            outcome.follow_state != self._life.ends or self._life.reason not in stands[1]
        ):
            yield f"it stands at {stands[0]} ({stands[1]}), not at {self._life.ends} ({self._life.reason})"
        with self._squire.ledger.read() as tx:
            events = [event for event in tasks.events(tx, self._task) if event.subject == EventSubject.FOLLOW]
        passed = [FollowState(event.after) for event in events if FollowState(event.after).is_final]
        ends = [] if self._life.ends is None or not self._life.ends.is_final else [self._life.ends]
        expected = list(self._life.passes if self._life.passes is not None else ends)
        if not _is_part(passed, _possible(expected)):
            yield f"it was told to have ended as {[*map(str, passed)]}, not {[*map(str, expected)]}"
        if self._life.ending is not None and outcome.ending != self._life.ending:
            yield f"its ending is {outcome.ending} ({outcome.ending_reason}), not {self._life.ending}"

    def _wrong_facts(self) -> Iterator[str]:
        merged_by = self._forge.merged_by(self._number()) if self._life.merged_by is not None else None
        if merged_by != self._life.merged_by:
            yield f"it was merged by {merged_by}, not by {self._life.merged_by}"
        texts = [text for _, text in self._forge.own_words()]
        for part in self._life.says:
            if (count := sum(part in text for text in texts)) != 1:
                yield f"{count} comments say {part!r}"
        for part in self._life.says_not:
            if any(part in text for text in texts):
                yield f"a comment says {part!r}"
        for name in self._life.at_end:
            if not FACTS[name](self._forge, self._squire):
                yield f"at GitHub it does not hold that {name}"

    def _number(self) -> int:
        outcome = self._outcome()
        return outcome.pr_number if outcome is not None else 0

    def _too_many_pulls(self) -> Iterator[str]:
        if (count := len(self._forge.pulls())) != self._life.pulls:
            yield f"there are {count} pull requests of ours"

    def _lost_work(self) -> Iterator[str]:
        agent = self._squire.agent
        for attempt_id, line in agent.made.items():
            if not self._forge.contains(line) and not is_kept(self._squire.folder_of(attempt_id)):
                yield f"the work of {attempt_id} is lost"
        if self._life.runs is not None and len(agent.runs) > self._life.runs:
            yield f"the agent ran {len(agent.runs)} times, not {self._life.runs}"
        for task_id in self._squire.task_ids():
            own = [attempt for attempt in agent.runs if attempt.rpartition("-")[0] == task_id]
            unpublished = [one for one in own if one in agent.made and not self._forge.contains(agent.made[one])]
            if unpublished and own[-1] not in unpublished:
                yield f"the work of {unpublished} was done again"

    def _overwritten(self) -> Iterator[str]:
        for sha in self._forge.persons_commits:
            if not self._forge.is_kept_by_branches(sha):
                yield f"a person's commit {sha[:8]} was pushed over"

    def _said_twice(self) -> Iterator[str]:
        for (place, text), count in Counter(self._forge.own_words()).items():
            if count > 1:
                yield f"at {place} it was said {count} times: {text[:80]!r}"
        starts = Counter((place, text.partition("\n")[0]) for place, text in self._forge.own_words())
        for (place, marker), count in starts.items():
            if marker.startswith("<!--") and count > 1:
                yield f"at {place} there are {count} comments marked {marker}"

    def _left_undone(self) -> Iterator[str]:
        for task_id in self._squire.task_ids():
            if (status := self._squire.status_of(task_id)) in {"running", "ready"}:
                yield f"the task {task_id} is still {status}"
        if (reason := self._squire.reason_to_follow()) is not None:
            yield f"there is still something to follow: {reason}"


def _possible(expected: Sequence[FollowState]) -> Sequence[FollowState]:
    """Return the endings that may be told on the way: a closed one is closed until it is known to have landed."""
    possible: list[FollowState] = []
    for state in expected:
        possible += [FollowState.CLOSED, state] if state is FollowState.LANDED_ELSEWHERE else [state]
    return possible


def _is_part(passed: Sequence[FollowState], possible: Sequence[FollowState]) -> bool:
    """Return whether `passed` comes in this order among `possible`, and ends with its last."""
    left = iter(possible)
    return all(state in left for state in passed) and (not possible or not passed or passed[-1] == possible[-1])
