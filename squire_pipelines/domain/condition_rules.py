"""Which state follows from what was seen of this machine and of what Squire keeps: ledger, disk, clock, tasks. Pure.

Services, here and elsewhere, are in `service_rules`. Times are in seconds, sizes in bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from squire_pipelines.domain.conditions import ConditionState, worst_state
from squire_pipelines.domain.schema_rules import LedgerSchema

MIN_FREE_BYTES = 2**30
"""Below it a disk is nearly full."""

LEAST_FREE_BYTES = 100 * 2**20
"""Below it it is full: SQLite, git and the warehouse's publication need room to write at all."""

MIN_FREE_FILES = 10_000
LEAST_FREE_FILES = 500
"""The same of files that a file system can still take: each attempt and each mirror has hundreds."""

CLOCK_WARN_S = 5.0
CLOCK_FAIL_S = 60.0
"""GitHub takes a token of an App whose time is at most so far ahead:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app"""

SLOW_LOCK_S = 2.0
"""A ledger whose lock was waited for this long holds up everything; receivers give up after a few seconds."""

LATE_WAREHOUSE_S = 3600.0
LATE_BACKUP_S = 3600.0
LATE_CLEAN_S = 3600.0
_GIB, _MIB = 2**30, 2**20


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What was seen of the ledger.

    Args:
        place: Of the ledger, without a password.
        exists: Whether there is one.
        was_there: Whether the home has what only comes from one.
        problem: Why it does not answer; empty where it does.
        hint: What to do about the problem.
        lock_wait_s: How long a transaction that writes waited for its turn.
        schema: Of the ledger.
        known_revision: The newest that this Squire knows.
        is_starting: Whether a Squire was started moments ago, which makes or upgrades it.
    """

    place: str
    exists: bool = True
    was_there: bool = False
    problem: str = ""
    hint: str = ""
    lock_wait_s: float = 0.0
    schema: LedgerSchema = field(default_factory=LedgerSchema)
    known_revision: str = ""
    is_starting: bool = False


def ledger_state(facts: LedgerFacts) -> ConditionState:
    """Return how the ledger is; a lock that is waited for may be free at the next look."""
    if facts.problem:
        return ConditionState.down(facts.problem, facts.hint or "`squire ledger check` shows more", is_doubtful=True)
    if not facts.exists and facts.was_there:
        reason = f"the ledger {facts.place} is gone, although this home has worked with one"
        return ConditionState.down(reason, "stop Squire, then put it back or `squire restore` a backup")
    if not facts.exists:
        return ConditionState.ok(f"there is none at {facts.place} yet: the first start makes it")
    if facts.lock_wait_s > SLOW_LOCK_S:
        reason = f"a transaction waited {facts.lock_wait_s:.1f} s for the ledger's lock"
        return ConditionState.degraded(reason, "look which process writes without pause, or use Postgres")
    return ConditionState.ok(f"{facts.place} answers")


def schema_state(facts: LedgerFacts) -> ConditionState | None:
    """Return how the ledger's schema fits this version; None where there is no ledger that answers."""
    if facts.problem or not facts.exists:
        return None
    revision, known = facts.schema.revision, facts.known_revision
    if revision == known:
        return ConditionState.ok(f"revision {revision}")
    if facts.schema.fits(known):
        return ConditionState.ok(f"revision {revision}, with which this Squire, which knows {known}, can go on")
    if facts.schema.is_newer(known):
        reason = f"the ledger has schema {revision}, this Squire knows {known}"
        return ConditionState.down(reason, "install the newer Squire again")
    if facts.is_starting:
        return ConditionState.starting(f"the ledger is being brought from schema {revision or 'none'} to {known}")
    reason = f"the ledger has schema {revision or 'none'}, this Squire needs {known}"
    return ConditionState.down(reason, "the next start of `squire dev` or `squire run` upgrades it")


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """What was seen of a disk.

    Args:
        folder: That lies on it.
        free: Bytes that this user may still write.
        free_files: Files that it can still take; None where it has no such bound.
        problem: Why nothing can be written; empty where it can.
    """

    folder: str
    free: int
    free_files: int | None = None
    problem: str = ""


def disk_state(disks: Sequence[DiskFacts]) -> ConditionState:
    """Return how the disks are together: as the worst of them is."""
    states = [_one_disk(facts) for facts in disks]
    return worst_state(states) or ConditionState.ok("no folder of Squire's is there yet")


def _one_disk(facts: DiskFacts) -> ConditionState:
    place = f"the disk of {facts.folder}"
    if facts.problem:
        return ConditionState.down(facts.problem, "make it writable; until then nothing is done")
    hint = "free some space; `squire doctor` names what takes most"
    if facts.free < LEAST_FREE_BYTES:
        return ConditionState.down(f"{place} is full: {_size(facts.free)} free", hint)
    if facts.free_files is not None and facts.free_files < LEAST_FREE_FILES:
        return ConditionState.down(f"{place} takes only {facts.free_files} more files", "remove files there")
    if facts.free < MIN_FREE_BYTES:
        return ConditionState.degraded(f"{place} is nearly full: {_size(facts.free)} free", hint)
    if facts.free_files is not None and facts.free_files < MIN_FREE_FILES:
        return ConditionState.degraded(f"{place} takes only {facts.free_files} more files", "remove files there")
    return ConditionState.ok(f"{_size(facts.free)} free at {facts.folder}")


def _size(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / _MIB:.0f} MiB"


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """What was seen of this machine's clock.

    Args:
        offset_s: How far it is ahead of GitHub's, or of the ledger's server; None where neither could be compared.
        whose: Clock that it was compared with.
        jump_s: By how much it has jumped within the last minutes; 0 for not at all.
        signs_in_by_time: Whether GitHub refuses Squire when the clock is wrong, as it does an App.
        step: How the clock is set on this machine.
    """

    offset_s: float | None = None
    whose: str = "GitHub's"
    jump_s: float = 0.0
    signs_in_by_time: bool = False
    step: str = "set the clock, and have a time service keep it"


def clock_state(facts: ClockFacts) -> ConditionState:
    """Return how the clock is. A comparison decides; without one, a jump counts until it is some minutes ago."""
    if facts.offset_s is None:
        if abs(facts.jump_s) >= CLOCK_WARN_S:
            direction = "ahead" if facts.jump_s > 0 else "back"
            reason = f"the clock has jumped {abs(facts.jump_s):.0f} s {direction}"
            return ConditionState.degraded(reason, f"if it is wrong now: {facts.step}")
        return ConditionState.ok("runs evenly; not compared with another")
    difference = abs(facts.offset_s)
    if difference < CLOCK_WARN_S:
        return ConditionState.ok(f"as {facts.whose}, to a few seconds")
    direction = "ahead of" if facts.offset_s > 0 else "behind"
    reason = f"{difference:.0f} s {direction} {facts.whose}"
    if difference >= CLOCK_FAIL_S and facts.signs_in_by_time:
        return ConditionState.down(f"{reason}: GitHub refuses the App's key", facts.step)
    return ConditionState.degraded(reason, facts.step)


@dataclass(frozen=True, slots=True)
class WarehouseFacts:
    """What was seen of the warehouse: how old its file is (None: there is none), and the ledger's oldest news in it.

    `unpublished_s` is how long ago the ledger's newest event happened where the warehouse is older; 0 where it has it.
    """

    age_s: float | None
    unpublished_s: float = 0.0


def warehouse_state(facts: WarehouseFacts) -> ConditionState:
    """Return how the warehouse is; queries of people need it, and nothing that works does."""
    if facts.age_s is None:
        return ConditionState.ok("not published yet: the first run publishes it")
    if facts.unpublished_s > LATE_WAREHOUSE_S:
        reason = f"the warehouse lacks what happened {facts.unpublished_s / 60:.0f} minutes ago"
        return ConditionState.degraded(reason, "`squire history publish` says why, and publishes it")
    return ConditionState.ok("has what happened, or gets it soon")


@dataclass(frozen=True, slots=True)
class UpkeepFacts:
    """What was seen of the work that keeps a home small.

    Args:
        clean_age_s: Since when the job `clean` has not succeeded, as far as is known; None where nobody can say it.
        interval_s: From one time of its schedule to the next.
        beyond: What is more than there may be, each with who removes it.
    """

    clean_age_s: float | None
    interval_s: float
    beyond: tuple[tuple[str, str], ...] = ()


def upkeep_state(facts: UpkeepFacts) -> ConditionState:
    """Return whether what grows is kept small: one run of `clean` may be missed, and a second one not."""
    if facts.clean_age_s is not None and facts.clean_age_s > 2 * facts.interval_s + LATE_CLEAN_S:
        reason = f"the job `clean` has not succeeded for {facts.clean_age_s / 86_400:.1f} days"
        return ConditionState.degraded(
            reason, "its last runs in Dagster's UI say why; `squire tasks clean --home` runs it at once"
        )
    if facts.beyond:
        size, remedy = facts.beyond[0]
        others = f" (and {len(facts.beyond) - 1} more, see `squire doctor`)" if len(facts.beyond) > 1 else ""
        return ConditionState.degraded(f"more than there should be: {size}{others}", remedy)
    return ConditionState.ok("what grows is within its bounds")


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What was seen of the scheduled backups.

    Args:
        folder: That has them.
        age_s: Of the newest; None where there is none.
        interval_s: From one time of the schedule to the next.
        first_due_s: In how many seconds the first is due since the settings have changed, below 0 where that was; None
            where that is not known.
    """

    folder: str
    age_s: float | None
    interval_s: float
    first_due_s: float | None = None


def backup_state(facts: BackupFacts) -> ConditionState:
    """Return whether scheduled backups are made: one may be missed, and a second one not."""
    hint = "`squire backup` makes one now; the runs of `back_up` in Dagster's UI say why none was made"
    if facts.age_s is None and facts.first_due_s is not None and facts.first_due_s > -LATE_BACKUP_S:
        due = max(0.0, facts.first_due_s) / 3600
        return ConditionState.ok(f"there is none in {facts.folder} yet, and the first is due in {due:.0f} hours")
    if facts.age_s is None:
        return ConditionState.degraded(f"there is no backup in {facts.folder} yet", hint)
    hours = facts.age_s / 3600
    if facts.age_s > 2 * facts.interval_s + LATE_BACKUP_S:
        return ConditionState.degraded(f"the newest backup in {facts.folder} is {hours:.0f} hours old", hint)
    return ConditionState.ok(f"the newest in {facts.folder} is {hours:.0f} hours old")


@dataclass(frozen=True, slots=True)
class StuckFacts:
    """Work that should have gone on by itself.

    Args:
        unclaimed: Attempts whose run should have taken them up, and that nobody has settled since.
        unsettled: Attempts whose lease has run out, and that nobody has adopted or settled since.
        late_starts: Tasks that nothing in the ledger keeps from starting, and that wait while slots are free.
        longest_s: How long the oldest of all these has been stuck.
        example: One of the tasks.
    """

    unclaimed: int = 0
    unsettled: int = 0
    late_starts: int = 0
    longest_s: float = 0.0
    example: str = ""


def stuck_tasks_state(facts: StuckFacts) -> ConditionState:
    """Return whether tasks are stuck."""
    parts = [
        f"{count} {words}"
        for count, words in (
            (facts.unclaimed, "attempts were not taken up by a run"),
            (facts.unsettled, "attempts have died and were not settled"),
            (facts.late_starts, "tasks could start and do not"),
        )
        if count
    ]
    if not parts:
        return ConditionState.ok("none")
    text = f"{'; '.join(parts)}, for {facts.longest_s / 60:.0f} minutes"
    hint = f"see `squire tasks show {facts.example}`, and whether the daemon runs"
    return ConditionState.degraded(text, hint)
