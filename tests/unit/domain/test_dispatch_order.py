"""The order of ready tasks: by priority, and none waits for ever."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.dispatch_order import ageing_moments, urgency
from squire_pipelines.domain.tasks import Priority

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP_S = 10
"""A tick of the clock below is a second."""


@dataclass(frozen=True)
class Waiting:
    id: str
    priority: int
    attempts: int
    ready_at: datetime
    start_requested_at: datetime | None = None

    @property
    def created_at(self) -> datetime:
        return START


def next_of(queue: list[Waiting], now: datetime) -> Waiting:
    moments = ageing_moments(now, STEP_S)
    return min(queue, key=lambda task: urgency(task, moments))


def test_priority_decides_among_those_that_came_at_once_and_then_the_wait() -> None:
    first = Waiting("z", Priority.HIGH, 0, START)
    queue = [Waiting("a", Priority.LOW, 0, START), Waiting("b", Priority.HIGH, 0, START + timedelta(seconds=1)), first]
    assert next_of(queue, START + timedelta(seconds=2)) == first


def test_what_a_person_starts_goes_before_everything() -> None:
    started = Waiting("z", Priority.LOW, 1, START + timedelta(seconds=1), start_requested_at=START)
    assert next_of([Waiting("a", Priority.CRITICAL, 0, START), started], START + timedelta(days=1)) == started


def test_a_task_rises_by_one_priority_for_each_step_and_not_above_the_first() -> None:
    task = Waiting("a", Priority.LOW, 0, START)
    ranks = [
        urgency(task, ageing_moments(START + timedelta(seconds=waited), STEP_S))[1] for waited in (0, 9, 10, 20, 30, 99)
    ]
    assert ranks == [3, 3, 2, 1, 0, 0]


_arrivals = st.lists(
    st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from([0, 1])), max_size=3), min_size=1, max_size=60
)


@given(before=st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from([0, 1])), max_size=8), arrivals=_arrivals)
def test_every_task_is_started_within_its_bound_whatever_arrives(
    before: list[tuple[Priority, int]], arrivals: list[list[tuple[Priority, int]]]
) -> None:
    """From `max(priority, 1)` steps after it became ready, a task is behind those alone that were ready before it.

    One task is started each tick, and up to three others arrive in the same tick for as long as the example lasts,
    and critical ones after that.
    """
    queue = [Waiting(f"0-{place}", rank, tries, START) for place, (rank, tries) in enumerate(before)]
    queue.append(Waiting("0-z", Priority.LOW, 1, START))
    steps = max(Priority)
    bounds: dict[str, int] = {}
    tick = 0
    while queue and any(task.ready_at < START + timedelta(seconds=len(arrivals)) for task in queue):
        now = START + timedelta(seconds=tick)
        new = arrivals[tick] if tick < len(arrivals) else [(Priority.CRITICAL, 0)] * 2
        queue += [Waiting(f"{tick + 1}-{place}", rank, tries, now) for place, (rank, tries) in enumerate(new)]
        for task in queue:
            if now >= task.ready_at + timedelta(seconds=max(task.priority, 1) * STEP_S) and task.id not in bounds:
                ahead = sum((other.ready_at, other.id) < (task.ready_at, task.id) for other in queue)
                bounds[task.id] = tick + ahead
        started = next_of(queue, now)
        assert tick <= bounds.get(started.id, tick)
        assert all(tick <= bound for task_id, bound in bounds.items() if task_id in {task.id for task in queue})
        queue.remove(started)
        tick += 1
        assert tick < 2_000 * steps
