"""What a number of repositories costs: from costs per unit, which were measured, and the rules by which Squire works.

Pure. The rules are Squire's own: `domain.looks` decides what is read, `domain.rate_limits` how much a credential pays
for, the settings' defaults how often and how long. `simulate.py` prints what follows, and `bench_simulate.py` compares
a collection with real ones. A repository is that of the simulated year in docs/performance.md, see `Activity`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from types import MappingProxyType

from squire_pipelines.domain.looks import KnownRepository, RepositoryLook, is_recent, reason_to_read
from squire_pipelines.domain.rate_limits import LimitState, affordable
from squire_pipelines.domain.signals import Source
from squire_pipelines.github.looking import REPOSITORIES_PER_QUERY
from squire_pipelines.sections.operation import RetentionSettings
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.sections.tasks import DispatchSettings

DAY_S, HOUR_S = 86_400.0, 3_600.0
KIB, MIB = 2**10, 2**20
TOKEN_POINTS = 5_000
"""GraphQL's points of a token in an hour. REST has as many requests.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

CONTENT_PER_HOUR = 500
"""Requests of a credential that create content."""

_START = datetime(2026, 3, 1, tzinfo=UTC)
_ATTEMPT_LOGS_DAYS = 7  # agent.log_retention_days


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What one unit of something costs, and where that was measured."""

    value: float
    unit: str
    source: str


_CHECK = "make bench-simulate (build/bench/simulate-check.json)"
_YEAR = "docs/performance.md, A year (make bench-operations)"
UNITS: Mapping[str, UnitCost] = MappingProxyType(
    {
        "look_points": UnitCost(0.03, "points per repository of a look, at least 1", f"GitHub's formula; {_CHECK}"),
        "reading_points": UnitCost(3, "points per reading", f"{_CHECK}; make bench-signals"),
        "signal_requests": UnitCost(0.88, "REST requests per new signal: logs, annotations, permissions", _CHECK),
        "pull_points": UnitCost(1.5, "points per open pull request and hour", "make bench-follow"),
        "attempt_writes": UnitCost(3, "requests per attempt that create content", "counted: pull, comment, label"),
        "command_cpu": UnitCost(3.8, "s of processor per `squire signals collect` by itself", _CHECK),
        "look_cpu": UnitCost(0.001, "s of processor per repository that is looked at", "make bench-signals"),
        "first_reading_cpu": UnitCost(0.096, "s of processor per first reading, five sources of it news", _CHECK),
        "reading_cpu": UnitCost(0.023, "s of processor per later reading, one source of it news", "make bench-signals"),
        "delivery_cpu": UnitCost(0.0004, "s of processor per delivery", "make bench-webhooks"),
        "run_cpu": UnitCost(0.5, "s of processor per run of Dagster", "docs/performance.md, The demo"),
        "attempt_cpu": UnitCost(5.8, "s of processor per attempt, all told", "make bench-operations (load)"),
        "routine_runs": UnitCost(620, "runs of Dagster a day beside attempts", "tests/support/year_home.py"),
        "reading_row_bytes": UnitCost(540, "bytes of the ledger per row of a reading", _CHECK),
        "signal_row_bytes": UnitCost(1_210, "bytes of the ledger per row of a signal, of which it has three", _CHECK),
        "attempt_rows": UnitCost(34, "rows per attempt, 20 of the audit trail", "tests/support/simulated_year.py"),
        "delivery_rows": UnitCost(2, "rows per delivery, one of the audit trail", "tests/support/simulated_year.py"),
        "attempt_bytes": UnitCost(24 * KIB, "bytes of the ledger per attempt", _YEAR),
        "delivery_bytes": UnitCost(13 * KIB, "bytes of the ledger per delivery with its body", _YEAR),
        "audit_bytes": UnitCost(550, "bytes per row of the audit trail", _YEAR),
        "folder_bytes": UnitCost(136 * KIB, "bytes of an attempt's folder", "tests/support/year_home.py"),
        "archive_bytes": UnitCost(4.5 * KIB, "bytes of the archive per attempt", _YEAR),
        "warehouse_bytes": UnitCost(8.2 * KIB, "bytes of the warehouse per attempt", _YEAR),
        "run_bytes": UnitCost(324 * KIB, "bytes per run that Dagster keeps", _YEAR),
        "agent_memory": UnitCost(446 * MIB, "bytes of memory per agent (OpenCode)", "make bench-agents"),
        "dispatches": UnitCost(190, "tasks a second that one dispatcher starts on Postgres", "make bench-dispatch"),
    }
)  # fmt: skip
_U: Mapping[str, float] = MappingProxyType({name: unit.value for name, unit in UNITS.items()})


@dataclass(frozen=True, slots=True)
class Activity:
    """What goes on in one repository on one day; by default as in the simulated year.

    Args:
        attempts: Of agents.
        deliveries: Webhooks that are about something.
        changes: How often a look finds something new that no delivery had told of.
        new_signals: Facts that were not there before.
        open_pulls: Pull requests of ours that are open at once.
        agent_minutes: How long an agent works.
        mirror_bytes: The size of its mirror: an assumption, not a measurement.
    """

    attempts: float = 2.7
    deliveries: float = 27
    changes: float = 4
    new_signals: float = 3
    open_pulls: float = 2
    agent_minutes: float = 10
    mirror_bytes: float = 50 * MIB


@dataclass(frozen=True, slots=True)
class CollectionCost:
    """What one collection costs: GitHub's points and REST requests, rows and bytes of the ledger, processor's time."""

    points: float
    requests: float
    rows: float
    bytes: float
    cpu_s: float


def look_points(repositories: int) -> int:
    """Return the points of a look: one query for each hundred repositories, and at least a point for each query."""
    whole, rest = divmod(repositories, REPOSITORIES_PER_QUERY)
    points_of_query = round(_U["look_points"] * REPOSITORIES_PER_QUERY)
    return whole * points_of_query + (max(1, round(_U["look_points"] * rest)) if rest else 0)


def cost_of_collection(looked_at: int, *, first_read: int, new_signals: int, first_unchanged: int) -> CollectionCost:
    """Return what one `squire signals collect` costs.

    Args:
        looked_at: Repositories.
        first_read: How many of them are read, for the first time.
        new_signals: What that finds.
        first_unchanged: Of how many a look says for the first time that they are unchanged, which is a row for each
            source; later ones move the time of that row on.
    """
    readings = len(Source) * (first_read + first_unchanged)
    return CollectionCost(
        points=look_points(looked_at) + _U["reading_points"] * first_read,
        requests=_U["signal_requests"] * new_signals,
        rows=readings + 3 * new_signals,
        bytes=readings * _U["reading_row_bytes"] + 3 * new_signals * _U["signal_row_bytes"],
        cpu_s=_U["command_cpu"] + _U["look_cpu"] * (looked_at - first_read) + _U["first_reading_cpu"] * first_read,
    )


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often one repository is looked at and read in a day."""

    looks: int
    readings: int


def cadence_of(settings: CollectionSettings, activity: Activity) -> Cadence:
    """Return how often a repository is looked at and read in a day whose changes and deliveries are spread evenly."""
    known = KnownRepository("acme/api", digest="0", looked_at=None, read_at=_START)
    changes = list(_spread(activity.changes))
    deliveries = list(_spread(activity.deliveries))
    looks = readings = 0
    now = _START
    while (now := settings.next_reading(now) or _START + timedelta(days=1)) < _START + timedelta(days=1):
        asked = [at for at in deliveries if at <= now]
        deliveries = deliveries[len(asked) :]
        for at in asked:
            looks, readings = looks + 1, readings + 1
            known = replace(known, looked_at=at, read_at=at)
        if is_recent(known, now=now, ttl_s=settings.ttl_s):
            continue
        looks += 1
        digest = str(sum(at <= now for at in changes))
        look = RepositoryLook(1, known.repository, digest)
        if reason_to_read(known, look, now=now, full_every_s=settings.full_every_s) is not None:
            readings += 1
            known = replace(known, digest=digest, read_at=now)
        known = replace(known, looked_at=now)
    return Cadence(looks, readings + len(deliveries))


def _spread(count: float) -> Iterator[datetime]:
    whole = round(count)
    return (_START + timedelta(seconds=DAY_S * (number + 0.5) / whole) for number in range(whole))


def app_points(repositories: int) -> int:
    """Return the points in an hour of a GitHub App's installation with these repositories.

    https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#primary-rate-limit
    """
    return min(12_500, TOKEN_POINTS + 50 * max(0, repositories - 20))


def spendable(points: int, *, cost_each: float) -> int:
    """Return how many readings of a cost an hour's points pay for, with the reserve that a collection leaves."""
    state = LimitState(quota=points, remaining=points, reset_at=_START + timedelta(hours=1))
    return affordable(state, cost_each=cost_each, now=_START) or 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one part needs: how much, how much one of it has, and what is done when that is too little."""

    part: str
    amount: float
    has: float
    unit: str
    remedy: str

    @property
    def use(self) -> float:
        """The share of one that is used; above 1 it gives way."""
        return self.amount / self.has


@dataclass(frozen=True, slots=True)
class Simulation:
    """What so many repositories cost: the parts that may give way, and what lies on disks after a year."""

    repositories: int
    demands: tuple[Demand, ...]
    per_day: Mapping[str, float]
    disk: Mapping[str, float]

    @property
    def first_to_give_way(self) -> Demand:
        """The part of which the greatest share is used."""
        return max(self.demands, key=lambda demand: demand.use)


def simulate(
    repositories: int,
    activity: Activity | None = None,
    *,
    collection: CollectionSettings | None = None,
    dispatch: DispatchSettings | None = None,
    retention: RetentionSettings | None = None,
    processors: int = 2,
    cadence: Cadence | None = None,
) -> Simulation:
    """Return what so many repositories cost with these settings, by default Squire's own."""
    activity = activity or Activity()
    collection, dispatch = collection or CollectionSettings(), dispatch or DispatchSettings()
    retention = retention or RetentionSettings()
    cadence = cadence or cadence_of(collection, activity)
    attempts, deliveries = repositories * activity.attempts, repositories * activity.deliveries
    readings, looks = repositories * cadence.readings, repositories * cadence.looks
    new_signals = repositories * activity.new_signals
    points_of_looks = cadence.looks / 24 * look_points(repositories)
    points_of_pulls = repositories * activity.open_pulls * _U["pull_points"]
    points = points_of_looks + readings / 24 * _U["reading_points"] + points_of_pulls
    rows = {
        "readings": readings * len(Source),
        "signals": 3 * new_signals,
        "attempts": attempts * _U["attempt_rows"],
        "deliveries": deliveries * _U["delivery_rows"],
    }
    collect_cpu = looks * _U["look_cpu"] + readings * _U["reading_cpu"]
    runs = _U["routine_runs"] + attempts
    kept_runs = _U["routine_runs"] * retention.routine_runs_days + attempts * retention.attempt_runs_days
    cpu = (
        collect_cpu
        + deliveries * _U["delivery_cpu"]
        + _U["routine_runs"] * _U["run_cpu"]
        + attempts * _U["attempt_cpu"]
    )
    interval_s = collection.interval(_START).total_seconds()
    agents = attempts * activity.agent_minutes / (24 * 60)
    demands = (
        Demand("attempts a day", attempts, dispatch.max_attempts_per_day, "", "raise dispatch.max_attempts_per_day"),
        Demand("agents at once", agents, dispatch.max_concurrent, "", "raise dispatch.max_concurrent, add workers"),
        Demand(
            "GraphQL points an hour, one token", points, 0.9 * TOKEN_POINTS, "",
            "a GitHub App: one installation for each organisation, each with its own points",
        ),
        Demand(
            "GraphQL points an hour, an App's installation", points, 0.9 * app_points(repositories), "",
            "webhooks, and a longer collection.full_every_s and schedule; repositories in several organisations",
        ),
        Demand(
            "REST requests an hour, one token", new_signals / 24 * _U["signal_requests"], TOKEN_POINTS, "", "as above"
        ),
        Demand(
            "content created an hour, one credential", attempts / 24 * _U["attempt_writes"], CONTENT_PER_HOUR, "",
            "one installation for each organisation",
        ),
        Demand(
            "s of one collection's process in an interval", collect_cpu * interval_s / DAY_S, interval_s, "s",
            "a longer schedule: one collection runs at a time",
        ),
        Demand("s of processor a day", cpu, processors * DAY_S, "s", "more workers: attempts are nearly all of it"),
        Demand(
            "s of dispatching a day", attempts / _U["dispatches"], DAY_S, "s", "one dispatcher is enough"
        ),
        Demand(
            "runs that Dagster keeps", kept_runs, retention.max_runs, "",
            "raise retention.max_runs, or runs are kept for a shorter time",
        ),
    )  # fmt: skip
    audit = (20 * attempts + deliveries) * _U["audit_bytes"] * retention.audit_days
    per_day = {
        "GraphQL points": points * 24,
        "looks at a repository": looks,
        "readings": readings,
        "attempts": attempts,
        "deliveries": deliveries,
        "runs of Dagster": runs,
        "rows of the ledger": sum(rows.values()),
        "s of processor": cpu,
        "s of processor for collections": collect_cpu,
    }
    disk = {
        "ledger": rows["readings"] * _U["reading_row_bytes"] * retention.collections_days
        + rows["signals"] * _U["signal_row_bytes"] * retention.signals_days
        + attempts * _U["attempt_bytes"] * retention.tasks_days
        + min(
            deliveries * _U["delivery_bytes"] * retention.deliveries_days,
            retention.max_delivery_bodies + deliveries * KIB * retention.deliveries_days,
        ),
        "audit trail in the ledger": audit,
        "attempts' folders": attempts * _U["folder_bytes"] * _ATTEMPT_LOGS_DAYS,
        "archive after a year": attempts * _U["archive_bytes"] * 365,
        "warehouse after a year": attempts * _U["warehouse_bytes"] * 365,
        "Dagster's runs": min(retention.max_runs, kept_runs) * _U["run_bytes"],
        "mirrors": repositories * activity.mirror_bytes,
    }
    return Simulation(repositories, demands, MappingProxyType(per_day), MappingProxyType(disk))


def gives_way_at(part: str, activity: Activity | None = None, *, most: int = 10_000_000) -> int:
    """Return the least number of repositories at which a part gives way; `most` where it does not before."""
    activity = activity or Activity()
    cadence = cadence_of(CollectionSettings(), activity)
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        use = next(demand.use for demand in simulate(middle, activity, cadence=cadence).demands if demand.part == part)
        low, high = (low, middle) if use > 1 else (middle + 1, high)
    return low


def workers_needed(simulation: Simulation, *, processors: int, memory_bytes: float) -> int:
    """Return how many machines the agents and the processor's time need, each with so much of both."""
    agents = next(demand.amount for demand in simulation.demands if demand.part == "agents at once")
    by_memory = agents * _U["agent_memory"] / memory_bytes
    by_processor = simulation.per_day["s of processor"] / (processors * DAY_S)
    return max(1, ceil(max(by_memory, by_processor)))
