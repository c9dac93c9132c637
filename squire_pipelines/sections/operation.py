"""The sections of the settings about how Squire itself runs: logs, warehouse, retention, pipeline."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from squire_pipelines.domain.container_limits import MIN_CPUS, Bytes
from squire_pipelines.observability.log_files import MAX_FILES
from squire_pipelines.observability.logging import Level, LineFormat, set_format, set_level
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.types import (
    AbsolutePath,
    Cron,
    EngineName,
    Image,
    ListenHost,
    Seconds,
    SecondsOrNone,
    SettingsSection,
    check_ledger_url,
)


def check_storage_url(text: str) -> str:
    """Return the URL of a database on Postgres. Raises ValueError as `check_ledger_url`, and for SQLite."""
    if text.startswith("sqlite:"):
        raise hidden_error("the URL of Dagster's storage looks like postgresql://user@host/name")
    return check_ledger_url(text)


class LoggingSettings(SettingsSection):
    """What is logged, and how much of it is kept. The option `--log-level` of the command wins."""

    level: Level = Field(default="info", description="debug, info, warning or error; of libraries, warnings and above")
    format: LineFormat = Field(
        default="auto", description="auto: console on a terminal, else json; ecs: JSON for Elasticsearch"
    )
    max_file: Annotated[Bytes, Field(ge=64 * 2**10)] = Field(
        default=10 * 2**20, description="of a process's log, which then goes on in a new file"
    )
    files: int = Field(default=5, ge=1, le=MAX_FILES, description="of each process's log, the newest among them")

    def apply(self) -> None:
        """Have this process write lines of this level and format from now on."""
        set_level(self.level)
        set_format(self.format)


class WarehouseSettings(SettingsSection):
    """Publication of the DuckDB file."""

    min_interval_s: SecondsOrNone = 5
    write_rate: Bytes = Field(default=32 * 2**20, description="bytes a second, on average: a large file waits longer")
    memory_limit: Bytes = 512 * 2**20
    overlap_s: float = Field(default=300, ge=0, le=86400, description="what a late transaction may take to be noticed")


class RetentionSettings(SettingsSection):
    """How many days rows stay in the ledger before they go to the archive, and how long other things are kept.

    GitHub redelivers for three days, and a redelivery is known by what we have; budgets are summed up by month.
    """

    schedule: Cron = Field(default="17 3 * * *", description="when the job `clean` runs, in UTC")
    tasks_days: float = Field(default=7, gt=0, le=3650, description="after the end, with all that belongs to them")
    deliveries_days: float = Field(default=7, ge=4, le=3650)
    max_delivery_bodies: Bytes = Field(
        default=2**30, description="of deliveries that are done with, compressed; the oldest lose their bodies first"
    )
    collections_days: float = Field(default=7, gt=0, le=3650, description="but for the newest of each source")
    signals_days: float = Field(default=30, gt=0, le=3650, description="after they were gone")
    plans_days: float = Field(default=30, gt=0, le=3650, description="when no task of theirs is left")
    plan_answers_days: float = Field(default=7, gt=0, le=365, description="of models, and what plans were made from")
    schedules_days: float = Field(default=30, gt=0, le=3650, description="after they were done or removed")
    model_calls_days: float = Field(default=30, gt=0, le=3650, description="of planners; others go with their task")
    budgets_days: float = Field(default=62, ge=32, le=3650)
    alerts_days: float = Field(default=90, gt=0, le=3650, description="after they were over, and messages about them")
    audit_days: float = Field(default=365, ge=1, le=3650, description="after they were sealed; their digests stay")
    max_rows_per_run: int = Field(default=100_000, ge=1000, le=10_000_000, description="of each table")
    attempt_runs_days: float = Field(
        default=7, gt=0, le=3650, description="Dagster's runs of attempts, with their logs"
    )
    routine_runs_days: float = Field(default=1, gt=0, le=3650, description="Dagster's runs of everything else")
    failed_runs_days: float = Field(
        default=30, gt=0, le=3650, description="Dagster's runs that failed or were cancelled"
    )
    max_runs: int = Field(default=5000, ge=100, le=1_000_000, description="that Dagster keeps, whatever their age")
    mirrors_days: float = Field(default=30, ge=1, le=3650, description="of repositories that nothing has fetched since")


class BackupSettings(SettingsSection):
    """Backups of the whole home, as `squire backup` makes them."""

    schedule: Cron | None = Field(default=None, description="when one is made by itself, in UTC; not set: never")
    folder: AbsolutePath | None = Field(default=None, description="on another disk; `backups` in the home if not set")
    keep: int = Field(default=7, ge=1, le=1000, description="newest ones in that folder; the others are removed")
    archive: bool = Field(default=True, description="with what has left the ledger")


class StepLimitSettings(SettingsSection):
    """What one step container of our own code may use (`pipeline.executor = "docker"`)."""

    cpus: float = Field(default=1, ge=MIN_CPUS, le=256)
    memory: Annotated[Bytes, Field(ge=256 * 2**20)] = 2 * 2**30
    pids: int = Field(default=256, ge=32, le=32768)


class PipelineSettings(SettingsSection):
    """How Dagster runs our own code. `auto` is `docker` when SQUIRE_HOME, an engine and the image are there."""

    executor: Literal["auto", "in_process", "docker"] = "in_process"
    image: Image = "squire-pipeline:latest"
    network: EngineName = Field(
        default="bridge", description="of step containers, by which they reach GitHub and the ledger"
    )
    step_limits: StepLimitSettings = StepLimitSettings()
    outcome_poll_s: Seconds = 60
    redelivery_s: Seconds = 60
    webserver_host: ListenHost = Field(
        default="127.0.0.1", description="of Dagster's UI, which asks nobody for a password: keep it private"
    )
    webserver_port: int = Field(default=3000, ge=1, le=65535)
    storage_url: Annotated[str, AfterValidator(check_storage_url), HIDDEN] | None = Field(
        default=None, description="Postgres for Dagster's storage; not set: beside the ledger, see many-machines.md"
    )
    allow_shared_folder: bool = Field(
        default=False, description="SQLite on a file system that machines may share, though only this one has the home"
    )
