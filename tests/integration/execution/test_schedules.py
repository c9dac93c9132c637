"""Schedules become tasks: one for each time, never two, and none while the last one is open."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from squire_pipelines.cli.schedule_rows import local_time
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.schedules import Rhythm, ScheduleState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, RefusedError, StateConflictError
from squire_pipelines.execution.requests import repeat_task
from squire_pipelines.execution.schedules import take_due_times
from squire_pipelines.ledger import bulk, outcomes, schedules, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.schedules import NewSchedule, Schedule, ScheduleRun
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import schedules as schedule_table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import (
    REPOSITORY,
    START,
    TRACE,
    Clock,
    decide,
    folder_in_memory,
    forget,
    spec,
    sqlite_ledger_file,
)

SETTINGS = Settings(repositories=(REPOSITORY,))
HOUR = timedelta(hours=1)


def make(ledger: Ledger, cron: str | None = "0 * * * *", *, zone: str = "UTC", at: datetime | None = None) -> Schedule:
    """A schedule; START is noon."""
    with ledger.write() as tx:
        rhythm = Rhythm(cron, zone, at)
        next_at = rhythm.after(tx.now)
        assert next_at is not None
        new = NewSchedule(REPOSITORY, spec(), rhythm, next_at, "cli:ann")
        return schedules.create(tx, new, most=50, trace_id=TRACE)


def look(ledger: Ledger) -> list[str | None]:
    return [taken.task_id for taken in take_due_times(ledger, SETTINGS)]


def runs(ledger: Ledger, schedule: Schedule) -> tuple[ScheduleRun, ...]:
    with ledger.read() as tx:
        return schedules.runs(tx, schedule.id, limit=1000)


def stored(ledger: Ledger, schedule: Schedule) -> Schedule:
    with ledger.read() as tx:
        return schedules.get(tx, schedule.id)


def made_tasks(ledger: Ledger) -> list[Task]:
    with ledger.read() as tx:
        return [tasks.get(tx, task_id) for task_id in tx.execute(select(task_table.c.id)).scalars()]


def cancel_open(ledger: Ledger) -> None:
    """End all tasks that are not done with."""
    with ledger.write() as tx:
        open_ids = select(task_table.c.id).where(task_table.c.ended_at.is_(None))
        for task_id in list(tx.execute(open_ids).scalars()):
            decide(tx, task_id, bulk.cancel("enough"))


def change(ledger: Ledger, schedule: Schedule, state: ScheduleState) -> None:
    with ledger.write() as tx:
        schedules.change_state(tx, schedule.id, state, actor="cli:ann", trace_id=TRACE)


def test_a_time_makes_one_task_however_often_one_looks_and_the_task_names_its_schedule(
    ledger: Ledger, clock: Clock
) -> None:
    schedule = make(ledger)
    assert look(ledger) == []
    clock.forward(3600)
    (task_id,) = look(ledger)
    assert look(ledger) == []
    (task,) = made_tasks(ledger)
    assert (task.id, task.schedule_id, task.status) == (task_id, schedule.id, TaskStatus.READY)
    assert task.spec == spec()
    with ledger.read() as tx:
        (event,) = tasks.events(tx, task.id)
        assert (event.actor, event.reason) == ("cli:ann", f"asked for in the schedule {schedule.id}")
        (entry,) = [row for row in audit_page(tx, limit=10) if row.action == "tasks.new"]
        assert entry.detail["schedule"] == schedule.id
    assert [(run.due_at, run.task_id, run.missed) for run in runs(ledger, schedule)] == [(START + HOUR, task.id, 0)]
    assert stored(ledger, schedule).next_at == START + 2 * HOUR


def test_times_that_were_missed_make_one_task_which_says_how_many_they_were(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    clock.forward(24 * 3600)
    assert len(look(ledger)) == 1
    (run,) = runs(ledger, schedule)
    assert (run.due_at, run.missed) == (START + HOUR, 23)
    assert stored(ledger, schedule).next_at == START + 25 * HOUR


def test_while_its_last_task_is_open_a_time_is_skipped_and_recorded_with_the_reason(
    ledger: Ledger, clock: Clock
) -> None:
    schedule = make(ledger)
    clock.forward(3600)
    (first,) = look(ledger)
    for _ in range(5):
        clock.forward(3600)
        assert look(ledger) == [None]
    skipped, made = runs(ledger, schedule)
    assert (skipped.skipped, skipped.times) == (f"its task {first} is ready", 5)
    assert (skipped.due_at, skipped.last_due_at) == (START + 2 * HOUR, START + 6 * HOUR)
    assert made.task_id == first
    cancel_open(ledger)
    clock.forward(3600)
    assert len(look(ledger)) == 1
    assert len(made_tasks(ledger)) == 2


def test_a_pull_request_that_is_open_holds_the_next_time_and_one_that_is_closed_does_not(
    ledger: Ledger, clock: Clock
) -> None:
    schedule = make(ledger)
    clock.forward(3600)
    (task_id,) = look(ledger)
    assert task_id is not None
    cancel_open(ledger)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha="a" * 40
        )
    clock.forward(3600)
    assert look(ledger) == [None]
    assert runs(ledger, schedule)[0].skipped == f"the pull request #7 of its task {task_id} is open"
    with ledger.write() as tx:
        report = PullRequestReport(
            repository=REPOSITORY,
            number=7,
            url="https://x/7",
            state=PullRequestState.CLOSED,
            head_ref="squire/x",
            head_sha="a" * 40,
            updated_at=tx.now,
            merged_at=None,
        )
        outcomes.apply_report(tx, report, actor="webhook")
    clock.forward(3600)
    assert look(ledger) != [None]


def test_a_task_that_does_again_what_one_of_the_schedule_did_holds_it_too(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    clock.forward(3600)
    (first,) = look(ledger)
    assert first is not None
    cancel_open(ledger)
    with ledger.write() as tx:
        again = repeat_task(tx, SETTINGS, first, actor="cli:ann", trace_id=TRACE)
    clock.forward(3600)
    assert look(ledger) == [None]
    assert runs(ledger, schedule)[0].skipped == f"its task {again.id} is ready"


def test_what_is_due_once_makes_its_task_and_is_done(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger, None, at=START + timedelta(minutes=90))
    clock.forward(3600)
    assert look(ledger) == []
    clock.forward(7200)
    assert len(look(ledger)) == 1
    assert stored(ledger, schedule).state is ScheduleState.DONE
    clock.forward(7200)
    assert look(ledger) == []
    with pytest.raises(StateConflictError, match="done already"):
        change(ledger, schedule, ScheduleState.ACTIVE)


def test_a_paused_one_makes_nothing_and_makes_up_for_nothing(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    change(ledger, schedule, ScheduleState.PAUSED)
    clock.forward(10 * 3600)
    assert look(ledger) == []
    change(ledger, schedule, ScheduleState.ACTIVE)
    assert look(ledger) == []
    clock.forward(3600)
    assert len(look(ledger)) == 1
    change(ledger, schedule, ScheduleState.REMOVED)
    clock.forward(3600)
    assert look(ledger) == []
    with ledger.read() as tx:
        actions = [row.action for row in audit_page(tx, limit=10, action="schedules.*")]
    assert actions == ["schedules.remove", "schedules.resume", "schedules.pause", "schedules.new"]


def test_a_repository_has_so_many_and_no_more_and_removed_ones_do_not_count(ledger: Ledger) -> None:
    schedule = make(ledger)
    new = NewSchedule(REPOSITORY, spec(), Rhythm("0 * * * *", "UTC"), START + HOUR, "cli:ann")
    with ledger.write() as tx, pytest.raises(RefusedError, match="has 1 schedules"):
        schedules.create(tx, new, most=1, trace_id=TRACE)
    change(ledger, schedule, ScheduleState.REMOVED)
    with ledger.write() as tx:
        schedules.create(tx, new, most=1, trace_id=TRACE)
        assert len(schedules.page(tx, limit=10)) == 1
        assert len(schedules.page(tx, limit=10, with_ended=True)) == 2


def test_what_is_over_is_forgotten_with_its_times(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    clock.forward(3600)
    look(ledger)
    change(ledger, schedule, ScheduleState.REMOVED)
    clock.forward(60)
    assert forget(ledger, 61)["schedules"] == 0
    assert forget(ledger, 59)["schedules"] == 1
    with ledger.read() as tx:
        with pytest.raises(NotFoundError):
            schedules.get(tx, schedule.id)
        assert schedules.runs(tx, schedule.id, limit=10) == ()


def test_only_the_newest_of_its_times_are_kept(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    for _ in range(schedules.MAX_RUNS + 2):
        clock.forward(3600)
        look(ledger)
        cancel_open(ledger)
    assert len(runs(ledger, schedule)) == schedules.MAX_RUNS


def test_a_repository_that_left_the_settings_gets_no_task(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    clock.forward(3600)
    (taken,) = take_due_times(ledger, Settings(repositories=("acme/other",)))
    assert taken.task_id is None
    assert "not among the repositories" in (runs(ledger, schedule)[0].skipped or "")


def test_a_request_that_cannot_be_read_holds_up_no_other(ledger: Ledger, clock: Clock) -> None:
    broken, whole = make(ledger), make(ledger)
    with ledger.write() as tx:
        tx.execute(update(schedule_table).where(schedule_table.c.id == broken.id).values(spec={"key": 1}))
    clock.forward(3600)
    assert [result is None for result in look(ledger)] == [True, False]
    assert "cannot be read" in (runs(ledger, broken)[0].skipped or "")
    assert runs(ledger, whole)[0].task_id is not None


def test_a_zone_that_this_machine_has_lost_holds_up_no_other(ledger: Ledger, clock: Clock) -> None:
    lost, whole = make(ledger), make(ledger)
    with ledger.write() as tx:
        tx.execute(update(schedule_table).where(schedule_table.c.id == lost.id).values(time_zone="Mars/Olympus"))
    clock.forward(3600)
    first, second = take_due_times(ledger, SETTINGS)
    assert (first.schedule_id, first.task_id) == (lost.id, None)
    assert "its times cannot be told here" in str(first)
    assert (second.schedule_id, second.task_id is not None) == (whole.id, True)
    assert local_time(stored(ledger, lost).next_at, "Mars/Olympus") == "2026-03-01 13:00 UTC"


def test_looks_at_once_make_one_task_together(ledger: Ledger, clock: Clock) -> None:
    """On Postgres each thread has a connection of its own, as sensors of two daemons have."""
    made = [make(ledger), make(ledger, "*/30 * * * *")]
    clock.forward(3600)
    gate = threading.Barrier(8)
    results: list[str | None] = []

    def run() -> None:
        gate.wait(10)
        results.extend(look(ledger))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(task_id for task_id in results if task_id) == sorted(task.id for task in made_tasks(ledger))
    assert sorted(task.schedule_id or "" for task in made_tasks(ledger)) == sorted(schedule.id for schedule in made)
    assert all(len(runs(ledger, schedule)) == 1 for schedule in made)


def test_after_a_clock_that_was_ahead_the_next_time_is_not_lost(ledger: Ledger, clock: Clock) -> None:
    schedule = make(ledger)
    clock.forward(365 * 86400)
    assert len(look(ledger)) == 1
    cancel_open(ledger)
    clock.now = START + timedelta(minutes=5)
    assert look(ledger) == []
    assert stored(ledger, schedule).next_at == START + HOUR
    clock.forward(3600)
    assert look(ledger) != []
    assert stored(ledger, schedule).next_at == START + 2 * HOUR


class KilledError(Exception):
    """The process was killed before its transaction was committed."""


class FragileLedger(Ledger):
    """A ledger whose process can be killed at the end of a transaction that writes."""

    dies = False

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with super().write() as tx:
            yield tx
            if self.dies:
                raise KilledError


STEPS = st.one_of(
    st.tuples(st.just("forward"), st.integers(1, 50 * 3600)),
    st.tuples(st.just("back"), st.integers(1, 30 * 3600)),
    st.tuples(st.just("look"), st.integers(1, 3)),
    st.tuples(st.just("die"), st.just(0)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("pause"), st.just(0)),
)
# Around the nights on which the clocks of Berlin are changed.
STARTS = (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC), START)


@given(
    steps=st.lists(STEPS, max_size=25),
    cron=st.sampled_from(["0 * * * *", "30 2 * * *", "*/20 2 * * *", "0 3 * * 1", "*/30 * * * *"]),
    start=st.sampled_from(STARTS),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_no_time_makes_two_tasks_whatever_clocks_crashes_and_people_do(
    steps: Sequence[tuple[str, int]], cron: str, start: datetime
) -> None:
    with folder_in_memory() as folder:
        url = f"sqlite:///{sqlite_ledger_file(Path(folder) / 'ledger.sqlite')}"
        clock = Clock(start)
        ledger = FragileLedger(url, clock=clock)
        schedule = make(ledger, cron, zone="Europe/Berlin")
        try:
            for step in steps:
                _take_step(ledger, clock, schedule, step)
            # However it went, it goes on by itself once the clock does.
            if stored(ledger, schedule).state is ScheduleState.PAUSED:
                change(ledger, schedule, ScheduleState.ACTIVE)
            clock.now = max(clock.now, start + timedelta(days=60))
            cancel_open(ledger)
            before = len(made_tasks(ledger))
            look(ledger)
            cancel_open(ledger)
            clock.forward(8 * 86400)
            look(ledger)
            assert len(made_tasks(ledger)) > before
            due = [run.due_at for run in runs(ledger, schedule) if run.task_id]
            assert len(set(due)) == len(due) == len(made_tasks(ledger))
        finally:
            ledger.close()


def _take_step(ledger: FragileLedger, clock: Clock, schedule: Schedule, step: tuple[str, int]) -> None:
    name, amount = step
    actions: dict[str, Callable[[], object]] = {
        "forward": lambda: clock.forward(amount),
        "back": lambda: clock.forward(-amount),
        "look": lambda: [look(ledger) for _ in range(amount)],
        "end": lambda: cancel_open(ledger),
        "pause": lambda: _switch(ledger, schedule),
        "die": lambda: _die(ledger),
        "restart": ledger.close,  # the next use opens the file anew
    }
    actions[name]()


def _switch(ledger: Ledger, schedule: Schedule) -> None:
    is_active = stored(ledger, schedule).state is ScheduleState.ACTIVE
    change(ledger, schedule, ScheduleState.PAUSED if is_active else ScheduleState.ACTIVE)


def _die(ledger: FragileLedger) -> None:
    ledger.dies = True
    try:
        look(ledger)
    except KilledError:
        pass
    finally:
        ledger.dies = False


def test_each_time_of_an_hour_by_hour_look_has_its_row(ledger: Ledger, clock: Clock) -> None:
    """None is lost and none comes twice over the night on which the clocks are put back."""
    clock.now = datetime(2026, 10, 24, 20, 30, tzinfo=UTC)
    schedule = make(ledger, "0 * * * *", zone="Europe/Berlin")
    for _ in range(12):
        clock.forward(3600)
        look(ledger)
        cancel_open(ledger)
    due = [run.due_at for run in reversed(runs(ledger, schedule))]
    assert due == [datetime(2026, 10, 24, 21, tzinfo=UTC) + hours * HOUR for hours in range(12)]
