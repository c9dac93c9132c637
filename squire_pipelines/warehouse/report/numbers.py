"""Reads the report's numbers from the published file. How they are shown belongs to `sections`, `plots` and `page`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import duckdb

from squire_pipelines.errors import WarehouseError
from squire_pipelines.warehouse import engine
from squire_pipelines.warehouse.query import open_published

MEMORY_LIMIT = 512 * 2**20
SPAN = timedelta(days=30)
"""How much of the past a report shows by default."""

LONGEST = timedelta(days=3660)
Bucket = Literal["hour", "day", "week", "month"]
_STEPS: tuple[tuple[timedelta, Bucket], ...] = (
    (timedelta(days=2), "hour"),
    (timedelta(days=92), "day"),
    (timedelta(days=740), "week"),
)


@dataclass(frozen=True, slots=True)
class ReportTotals:
    """The sums of the whole span. Rates are 0 to 1, None where there is nothing to divide by; money is US dollars."""

    created: int
    succeeded: int
    failed: int
    cancelled: int
    unfinished: int
    success_rate: float | None
    attempts: int
    failed_attempts: int
    pull_requests: int
    merged: int
    merged_unchanged_rate: float | None
    seconds_to_merge: float | None
    model_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    cost_per_merged_pr: float | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """What happened in one bucket of time."""

    bucket: datetime
    created: int
    succeeded: int
    failed: int
    cancelled: int
    merged: int


@dataclass(frozen=True, slots=True)
class RepositorySuccess:
    """How the tasks of one repository ended."""

    repository: str
    succeeded: int
    failed: int
    rate: float


@dataclass(frozen=True, slots=True)
class FailureCause:
    """How often attempts failed for one cause."""

    cause: str
    attempts: int
    tasks: int
    transient: bool
    last_message: str | None


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The use of one model in one bucket of time; the cost is None where no price is known."""

    bucket: datetime
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long tasks stayed in one stage, in seconds."""

    stage: str
    tasks: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class RedTime:
    """How many hours branches of one repository were red in one bucket of time."""

    bucket: datetime
    repository: str
    on_default_branch: bool
    hours: float


@dataclass(frozen=True, slots=True)
class TargetBurn:
    """How one target of a repository was kept in the three days before the publication.

    `missed` of `events` missed it, of which it allows the share `allowed`. Rates are how many times as many that is, in
    the last hour, six hours and three days; None where nothing happened.
    """

    repository: str
    target: str
    events: int
    missed: int
    allowed: float
    rate_1h: float | None
    rate_6h: float | None
    rate_3d: float


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """All numbers of the span `since` to `until`, which is the moment of the publication. Times are in UTC."""

    since: datetime
    until: datetime
    bucket: Bucket
    totals: ReportTotals
    throughput: tuple[Throughput, ...]
    success: tuple[RepositorySuccess, ...]
    causes: tuple[FailureCause, ...]
    cost: tuple[ModelCost, ...]
    stages: tuple[StageTimes, ...]
    ci_red: tuple[RedTime, ...]
    targets: tuple[TargetBurn, ...]

    @property
    def red_hours(self) -> float:
        """The hours for which default branches were red, of all repositories together."""
        return sum(red.hours for red in self.ci_red if red.on_default_branch)

    def as_json(self) -> dict[str, Any]:
        """Return all of it with the fields' own names."""
        content = asdict(self)
        content["totals"]["red_hours"] = round(self.red_hours, 3)
        return content


def bucket_of(span: timedelta) -> Bucket:
    """Return the buckets to divide a span into, so that there are about a hundred at most."""
    return next((bucket for longest, bucket in _STEPS if span <= longest), "month")


def read_report(path: Path, *, since: datetime | timedelta = SPAN, memory_limit: int = MEMORY_LIMIT) -> ReportNumbers:
    """Read the numbers from `since` until the publication.

    Args:
        path: The warehouse's file.
        since: A moment, or how long before the publication.
        memory_limit: Bytes for DuckDB.

    Raises:
        WarehouseError: Nothing is published, it cannot be read, or the span is empty or longer than `LONGEST`.
    """
    with open_published(path, memory_limit) as connection:
        try:
            published = connection.execute("SELECT make_timestamp(epoch_us(published_at)) FROM _publication").fetchone()
            if published is None:
                raise WarehouseError(
                    "the warehouse does not say when it was published",
                    hint="publish it again: `squire history publish`",
                )
            (until,) = published
            begin = since.astimezone(UTC).replace(tzinfo=None) if isinstance(since, datetime) else until - since
            if not timedelta() < until - begin <= LONGEST:
                raise WarehouseError(
                    f"from {begin:%Y-%m-%d %H:%M} until the publication, {until:%Y-%m-%d %H:%M}, is no span of time",
                    hint=f"choose a time before it, up to {LONGEST.days} days",
                )
            bucket = bucket_of(until - begin)
            for name, value in (("since", begin), ("until", until), ("bucket", bucket)):
                connection.execute(f"SET VARIABLE {name} = ?", [value])
            connection.execute(f"SET VARIABLE step = INTERVAL 1 {bucket}")
            return ReportNumbers(
                since=begin.replace(tzinfo=UTC),
                until=until.replace(tzinfo=UTC),
                bucket=bucket,
                totals=ReportTotals(**_rows(connection, "totals")[0]),
                throughput=tuple(Throughput(**row) for row in _rows(connection, "throughput")),
                success=tuple(RepositorySuccess(**row) for row in _rows(connection, "success")),
                causes=tuple(FailureCause(**row) for row in _rows(connection, "causes")),
                cost=tuple(ModelCost(**row) for row in _rows(connection, "cost")),
                stages=tuple(StageTimes(**row) for row in _rows(connection, "stages")),
                ci_red=tuple(RedTime(**row) for row in _rows(connection, "ci_red")),
                targets=tuple(TargetBurn(**row) for row in _rows(connection, "targets")),
            )
        except duckdb.Error as error:
            raise WarehouseError(
                f"the report cannot be made from {path}: {engine.reason(error)}",
                hint="publish again: `squire history publish`",
            ) from error


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    """Return the rows of one of the report's queries."""
    cursor = connection.execute(resources.files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8"))
    columns = [column[0] for column in cursor.description or ()]
    return [{key: _aware(value) for key, value in zip(columns, row, strict=True)} for row in cursor.fetchall()]


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
