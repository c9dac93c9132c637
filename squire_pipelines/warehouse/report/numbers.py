"""The report's numbers, read from the published file in one go. How they are shown belongs to `plots` and `page`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import duckdb

from squire_pipelines.errors import WarehouseError
from squire_pipelines.warehouse.query import attached

MEMORY_LIMIT = 512 * 2**20
SPAN = timedelta(days=30)
"""How much of the past a report shows when nothing else is said."""

LONGEST = timedelta(days=3660)
Bucket = Literal["hour", "day", "week", "month"]
_STEPS: tuple[tuple[timedelta, Bucket], ...] = (
    (timedelta(days=2), "hour"),
    (timedelta(days=92), "day"),
    (timedelta(days=740), "week"),
)


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole span in one row. Rates are 0 to 1, None where there is nothing to divide by; money is US dollars."""

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
class Success:
    """How the tasks of one repository ended."""

    repository: str
    succeeded: int
    failed: int
    rate: float


@dataclass(frozen=True, slots=True)
class FailureCause:
    """Why attempts failed."""

    cause: str
    attempts: int
    tasks: int
    transient: bool
    last_message: str | None


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What one model did in one bucket of time; None where no price is known."""

    bucket: datetime
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """How long tasks stayed in one stage, in seconds."""

    stage: str
    tasks: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class RedTime:
    """For how many hours branches of one repository were red in one bucket of time."""

    bucket: datetime
    repository: str
    on_default_branch: bool
    hours: float


@dataclass(frozen=True, slots=True)
class Report:
    """All numbers of the span `since` to `until`, which is the moment of the publication. Times are in UTC."""

    since: datetime
    until: datetime
    bucket: Bucket
    totals: Totals
    throughput: tuple[Throughput, ...]
    success: tuple[Success, ...]
    causes: tuple[FailureCause, ...]
    cost: tuple[ModelCost, ...]
    stages: tuple[Stage, ...]
    ci_red: tuple[RedTime, ...]

    @property
    def red_hours(self) -> float:
        """Hours for which default branches were red, of all repositories together."""
        return sum(each.hours for each in self.ci_red if each.on_default_branch)

    def as_json(self) -> dict[str, Any]:
        """All of it with the fields' own names."""
        whole: dict[str, Any] = {"since": self.since, "until": self.until, "bucket": self.bucket}
        whole["totals"] = {**as_dict(self.totals), "red_hours": round(self.red_hours, 3)}
        for name in ("throughput", "success", "causes", "cost", "stages", "ci_red"):
            whole[name] = [as_dict(each) for each in getattr(self, name)]
        return whole


def as_dict(row: Any) -> dict[str, Any]:
    """The fields of one of the rows above."""
    return {each.name: getattr(row, each.name) for each in fields(row)}


def bucket_of(span: timedelta) -> Bucket:
    """The buckets that a span is divided into, so that there are at most about a hundred."""
    return next((bucket for longest, bucket in _STEPS if span <= longest), "month")


def read_report(path: Path, *, since: datetime | timedelta = SPAN, memory_limit: int = MEMORY_LIMIT) -> Report:
    """The numbers from `since` until the publication.

    Args:
        path: The warehouse's file.
        since: A moment, or how long before the publication.
        memory_limit: Bytes for DuckDB.

    Raises:
        WarehouseError: Nothing is published, it cannot be read, or the span is empty or longer than `LONGEST`.
    """
    with attached(path, memory_limit) as connection:
        try:
            until = _one(connection, "SELECT make_timestamp(epoch_us(published_at)) AS until FROM _publication")[
                "until"
            ]
            begin = _naive(since) if isinstance(since, datetime) else until - since
            if not timedelta() < until - begin <= LONGEST:
                raise WarehouseError(
                    f"from {begin:%Y-%m-%d %H:%M} until the publication, {until:%Y-%m-%d %H:%M}, is no span of time",
                    hint=f"choose a time before it, up to {LONGEST.days} days",
                )
            bucket = bucket_of(until - begin)
            for name, value in (("since", begin), ("until", until), ("bucket", bucket)):
                connection.execute(f"SET VARIABLE {name} = ?", [value])
            connection.execute(f"SET VARIABLE step = INTERVAL 1 {bucket}")
            return Report(
                since=begin.replace(tzinfo=UTC),
                until=until.replace(tzinfo=UTC),
                bucket=bucket,
                totals=Totals(**_one(connection, _sql("totals"))),
                throughput=tuple(Throughput(**row) for row in _rows(connection, _sql("throughput"))),
                success=tuple(Success(**row) for row in _rows(connection, _sql("success"))),
                causes=tuple(FailureCause(**row) for row in _rows(connection, _sql("causes"))),
                cost=tuple(ModelCost(**row) for row in _rows(connection, _sql("cost"))),
                stages=tuple(Stage(**row) for row in _rows(connection, _sql("stages"))),
                ci_red=tuple(RedTime(**row) for row in _rows(connection, _sql("ci_red"))),
            )
        except duckdb.Error as error:
            raise WarehouseError(
                f"the report cannot be made from {path}: {str(error).strip().partition(chr(10))[0]}",
                hint="publish again: `squire history publish`",
            ) from error


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> Sequence[Mapping[str, Any]]:
    found = connection.execute(sql)
    names = [column[0] for column in found.description or ()]
    return [{name: _aware(value) for name, value in zip(names, row, strict=True)} for row in found.fetchall()]


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    found = connection.execute(sql)
    names = [column[0] for column in found.description or ()]
    row = found.fetchone()
    if row is None:
        raise WarehouseError(
            "the warehouse does not say when it was published", hint="publish it again: `squire history publish`"
        )
    return dict(zip(names, row, strict=True))


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
