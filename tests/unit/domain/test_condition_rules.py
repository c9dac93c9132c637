"""What follows from facts of this machine and of what Squire keeps: each state that is not well has what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.condition_rules import (
    CLOCK_FAIL_S,
    CLOCK_WARN_S,
    LATE_BACKUP_S,
    LATE_WAREHOUSE_S,
    BackupFacts,
    ClockFacts,
    DiskFacts,
    LedgerFacts,
    StuckFacts,
    UpkeepFacts,
    WarehouseFacts,
    backup_state,
    clock_state,
    disk_state,
    ledger_state,
    schema_state,
    stuck_tasks_state,
    upkeep_state,
    warehouse_state,
)
from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.domain.schema_rules import LedgerSchema

OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN
MIB, GIB = 2**20, 2**30
SIZES = st.integers(0, 2**40)
FILES = st.none() | st.integers(0, 10**7)
DISKS = st.lists(st.builds(DiskFacts, st.just("/srv"), SIZES, FILES), min_size=1, max_size=3)


@given(DISKS, st.integers(0, 2**40))
def test_a_disk_with_less_room_is_never_better(disks: list[DiskFacts], less: int) -> None:
    fuller = [DiskFacts(one.folder, max(0, one.free - less), one.free_files) for one in disks]
    assert disk_state(fuller).level.severity >= disk_state(disks).level.severity


@given(DISKS)
def test_disks_are_as_the_worst_of_them_and_say_what_to_do(disks: list[DiskFacts]) -> None:
    state = disk_state(disks)
    assert state.level.severity == max(disk_state([one]).level.severity for one in disks)
    assert (state.hint == "") == (state.level is OK)


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (DiskFacts("/srv", 50 * MIB), DOWN, "is full: 50 MiB free"),
        (DiskFacts("/srv", 500 * MIB), DEGRADED, "nearly full: 500 MiB"),
        (DiskFacts("/srv", 5 * GIB), OK, "5.0 GiB free"),
        (DiskFacts("/srv", 5 * GIB, 100), DOWN, "only 100 more files"),
        (DiskFacts("/srv", 5 * GIB, 5000), DEGRADED, "only 5000 more files"),
        (DiskFacts("/srv", 5 * GIB, problem="/srv is mounted read-only"), DOWN, "read-only"),
    ],
)
def test_a_disk(facts: DiskFacts, level: HealthLevel, says: str) -> None:
    state = disk_state([facts])
    assert state.level is level
    assert says in state.reason


@given(offset_s=st.floats(-1e6, 1e6), is_app=st.booleans())
def test_a_clock_is_judged_by_its_difference_and_refuses_only_who_signs_in_by_time(
    offset_s: float, *, is_app: bool
) -> None:
    state = clock_state(ClockFacts(offset_s, jump_s=3600, signs_in_by_time=is_app))
    if abs(offset_s) < CLOCK_WARN_S:
        assert state.level is OK  # it was set right: the jump is over
    else:
        assert state.level is (DOWN if is_app and abs(offset_s) >= CLOCK_FAIL_S else DEGRADED)
        assert state.hint


@pytest.mark.parametrize(("jump_s", "says"), [(3600, "3600 s ahead"), (-3600, "3600 s back")])
def test_a_clock_that_jumps_is_named_where_nothing_compares_it(jump_s: float, says: str) -> None:
    state = clock_state(ClockFacts(jump_s=jump_s))
    assert state.level is DEGRADED
    assert says in state.reason
    assert clock_state(ClockFacts()).level is OK


def test_a_ledger_that_does_not_answer_says_nothing_of_its_schema() -> None:
    facts = LedgerFacts("ledger", problem="it is locked", hint="wait")
    assert ledger_state(facts).is_doubtful
    assert ledger_state(facts).level is DOWN
    assert schema_state(facts) is None


def test_a_ledger_that_is_not_there_yet_is_well() -> None:
    facts = LedgerFacts("ledger", exists=False)
    assert ledger_state(facts).level is OK
    assert schema_state(facts) is None


def test_a_ledger_that_is_gone_is_down() -> None:
    state = ledger_state(LedgerFacts("l.sqlite", exists=False, was_there=True))
    assert (state.level, state.reason) == (DOWN, "the ledger l.sqlite is gone, although this home has worked with one")


def test_a_schema_is_upgraded_by_a_squire_that_starts_and_not_from_a_newer_one() -> None:
    for revision in (None, "0031"):
        state = schema_state(
            LedgerFacts("ledger", schema=LedgerSchema(revision), known_revision="0032", is_starting=True)
        )
        assert state is not None
        assert (state.level, state.is_starting) == (OK, True)
    newer = schema_state(LedgerFacts("ledger", schema=LedgerSchema("0033"), known_revision="0032", is_starting=True))
    assert newer is not None
    assert newer.level is DOWN


@pytest.mark.parametrize(
    ("revision", "level", "step"),
    [("0032", OK, ""), ("0031", DOWN, "upgrades"), (None, DOWN, ""), ("0033", DOWN, "newer")],
)
def test_a_schema_of_another_version_is_down(revision: str | None, level: HealthLevel, step: str) -> None:
    state = schema_state(LedgerFacts("ledger", schema=LedgerSchema(revision), known_revision="0032"))
    assert state is not None
    assert state.level is level
    assert step in state.hint


def test_a_newer_schema_with_which_this_version_can_go_on_is_well() -> None:
    for oldest, level in (("0031", OK), ("0032", OK), ("0033", DOWN)):
        state = schema_state(LedgerFacts("ledger", schema=LedgerSchema("0034", oldest), known_revision="0032"))
        assert state is not None
        assert state.level is level


def test_a_long_wait_for_the_ledgers_lock_is_degraded() -> None:
    assert ledger_state(LedgerFacts("ledger", lock_wait_s=0.1)).level is OK
    assert ledger_state(LedgerFacts("ledger", lock_wait_s=2.5)).level is DEGRADED


def test_a_warehouse_that_lacks_old_news_is_degraded_and_one_that_is_merely_old_is_not() -> None:
    assert warehouse_state(WarehouseFacts(None)).level is OK
    assert warehouse_state(WarehouseFacts(1e7)).level is OK
    assert warehouse_state(WarehouseFacts(1e7, LATE_WAREHOUSE_S + 1)).level is DEGRADED


@given(st.builds(StuckFacts, *[st.integers(0, 3)] * 3, st.floats(0, 1e6), st.just("T1")))
def test_stuck_tasks_are_told_with_one_of_them(facts: StuckFacts) -> None:
    state = stuck_tasks_state(facts)
    is_any = bool(facts.unclaimed or facts.unsettled or facts.late_starts)
    assert state.level is (DEGRADED if is_any else OK)
    assert ("T1" in state.hint) == is_any


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (UpkeepFacts(None, 86_400), OK, "within its bounds"),
        (UpkeepFacts(2 * 86_400, 86_400), OK, "within its bounds"),
        (UpkeepFacts(2.1 * 86_400, 86_400), DEGRADED, "has not succeeded for 2.1 days"),
        (UpkeepFacts(60, 86_400, (("9 of 5 things", "do it"),)), DEGRADED, "more than there should be: 9 of 5 things"),
        (UpkeepFacts(60, 86_400, (("a", "do it"), ("b", "do that"))), DEGRADED, "(and 1 more"),
    ],
)
def test_upkeep(facts: UpkeepFacts, level: HealthLevel, says: str) -> None:
    state = upkeep_state(facts)
    assert (state.level, state.hint == "") == (level, level is OK)
    assert says in state.reason


@pytest.mark.parametrize(
    ("first_due_s", "level"),
    [(3600.0, "ok"), (-LATE_BACKUP_S + 1, "ok"), (-LATE_BACKUP_S, "degraded"), (None, "degraded")],
)
def test_that_there_is_no_backup_is_wrong_once_the_first_was_due(first_due_s: float | None, level: str) -> None:
    assert backup_state(BackupFacts("/srv/backups", None, 86_400.0, first_due_s)).level == level
