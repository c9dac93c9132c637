"""The pipeline as Dagster sees it, on a forge: a home with settings, a ledger, and an instance in memory.

An area takes the fixtures into its conftest.py by import, as with `tests.support.forge`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster import AssetCheckEvaluation, DagsterEventType
from sqlalchemy import update

from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository
from squire_pipelines import tags
from squire_pipelines.definitions import build_defs
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.partitions import ensure_repositories
from squire_pipelines.resources import stores
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.ledgers import add_task, dispatch, sqlite_ledger_file

TRACE = "cd" * 16
LEDGERLIB, WEBSHOP, HANDBOOK, QUIET = "demo/ledgerlib", "demo/webshop", "demo/handbook", "demo/quiet"
ALL = (LEDGERLIB, WEBSHOP, HANDBOOK, QUIET)
BOARD = "https://squire.example.com"
ROOT = Path(__file__).parents[2]
_PATIENCE_S = 90.0
_LONG_AGO = 1_700_000_000


def checks(done: dg.ExecuteInProcessResult) -> dict[tuple[str, str, str | None], AssetCheckEvaluation]:
    """A run's check evaluations by asset, check and partition, each of which there may be once."""
    events = [event for event in done.all_events if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION]
    seen: dict[tuple[str, str, str | None], AssetCheckEvaluation] = {}
    for event in events:
        evaluation = event.asset_check_evaluation_data
        name = (evaluation.asset_key.path[-1], evaluation.check_name, evaluation.partition)
        assert name not in seen
        seen[name] = evaluation
    return seen


def materialized(done: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], Any]:
    """A run's materializations by asset and partition: their metadata."""
    return {
        (event.asset_key.path[-1], event.partition): event.step_materialization_data.materialization.metadata
        for event in done.all_events
        if event.is_step_materialization and event.asset_key
    }


def output_metadata(run: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return what the ops of a run reported with their outputs."""
    return {
        name: entry.value
        for event in run.all_events
        if event.is_successful_output
        for name, entry in event.step_output_data.metadata.items()
    }


@dataclass(frozen=True)
class Tick:
    """What a sensor said, and the runs that it requested, at their end."""

    skip_message: str
    cursor: str | None
    runs: Sequence[dg.ExecuteInProcessResult]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the one run's ops reported; empty when none was requested."""
        return output_metadata(self.runs[-1]) if self.runs else {}


@dataclass
class Pipeline:
    """One home. `api_url` is a forge's, or an address where nothing listens."""

    home: Path
    api_url: str
    ledger: Ledger
    instance: dg.DagsterInstance
    repositories: Sequence[str] = ALL
    commands: dict[str, Sequence[str]] = field(default_factory=dict)

    def configure(self, more: str = "", *, api_url: str | None = None, runner: str = "local") -> None:
        """Write config.toml, as if some time ago, so that nobody waits for its end; `more` is TOML that follows."""
        file = self.home / "config.toml"
        names = ", ".join(f'"{name}"' for name in self.repositories)
        overrides = "".join(
            f'\n[repository."{name}".agent]\ncommand = [{", ".join(map(_quoted, command))}]\n'
            for name, command in self.commands.items()
        )
        # Any free port: tests beside this one run `squire dev` too.
        port = "" if "[observability]" in more else "[observability]\nport = 0\n"
        port += "" if "[board]" in more else f'[board]\nenabled = false\npublic_url = "{BOARD}"\n'
        file.write_text(
            f"""repositories = [{names}]
[github]
api_url = "{api_url or self.api_url}"
min_write_interval_s = 0
timeout_s = 60
[planner]
kind = "rules"
[agent]
kind = "command"
runner = "{runner}"
command = ["true"]
{overrides}
{port}{more}""",
            encoding="utf-8",
        )
        os.utime(file, (_LONG_AGO, _LONG_AGO))

    @property
    def settings(self) -> Settings:
        return load_settings()

    @property
    def resources(self) -> dict[str, Any]:
        source = SettingsResource()
        return {
            "settings": source,
            "ledger": LedgerResource(settings=source),
            "github": GitHubResource(settings=source),
        }

    def run(
        self, job: str, *, config: Mapping[str, Any] | None = None, fails: bool = False, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Run a job to its end in this process; it has to end as expected."""
        definition = build_defs(resource_overrides=self.resources).resolve_job_def(job)
        done = definition.execute_in_process(
            run_config=dict(config or {}), instance=self.instance, raise_on_error=False, **options
        )
        assert done.success is not fails
        return done

    def request(self, request: dg.RunRequest, *, fails: bool = False) -> dg.ExecuteInProcessResult:
        """Run what a sensor asked for."""
        assert request.job_name
        return self.run(request.job_name, config=request.run_config, tags=request.tags, fails=fails)

    def collect(
        self, *repositories: str, deliveries: Sequence[int] = (), fails: bool = False, fresh: bool = True
    ) -> Any:
        """One run over several repositories, as a sensor starts it; by default it reads what has not changed, too."""
        names = repositories or self.repositories
        ensure_repositories(self.instance, names)
        config = {"repositories": list(names), "deliveries": list(deliveries), "fresh": fresh}
        return self.run(
            "collect",
            config={"ops": {"collect_signals": {"config": config}}},
            tags={tags.TRACE: TRACE, **_range(self.instance, names)},
            fails=fails,
        )

    def plan(self, *repositories: str, again: bool = False, fails: bool = False) -> Any:
        """One run over several repositories, as the sensor starts it."""
        names = repositories or self.repositories
        ensure_repositories(self.instance, names)
        config = {"repositories": list(names), "again": again}
        return self.run(
            "plan",
            config={"ops": {"plan_tasks": {"config": config}}},
            tags={tags.TRACE: TRACE, **_range(self.instance, names)},
            fails=fails,
        )

    def attempt(self, repository: str = LEDGERLIB, *, base: str = "main", **values: Any) -> Attempt:
        """A new task's first attempt, dispatched and not claimed."""
        task_id = add_task(self.ledger, repository=repository, base_branch=base, **values)
        dispatch(self.ledger)
        return self.read_attempt(f"{task_id}-1")

    def next_attempt(self, attempt: Attempt) -> Attempt:
        """The attempt after one that failed for a while."""
        dispatch(self.ledger)
        return self.read_attempt(f"{attempt.task_id}-{attempt.number + 1}")

    def give_lease_to_another(self, attempt: Attempt) -> None:
        """As if this run had been entered again elsewhere."""
        with self.ledger.write() as tx:
            tx.execute(update(attempt_table).where(attempt_table.c.id == attempt.id).values(lease_token="another's"))

    def expire_lease(self, attempt: Attempt, seconds: float = 1) -> None:
        """As if it had run out so many seconds ago."""
        past = datetime.now(UTC) - timedelta(seconds=seconds)
        with self.ledger.write() as tx:
            tx.execute(update(attempt_table).where(attempt_table.c.id == attempt.id).values(lease_until=past))

    @contextmanager
    def agent_run_apart(self, attempt: Attempt) -> Iterator["subprocess.Popen[bytes]"]:
        """The run that the dispatch sensor asks for, in a process of its own, which is killed at the end."""
        command = [sys.executable, "-m", "tests.support.agent_run_child", attempt.id, str(uuid4())]
        with (self.home / "child.log").open("ab") as log:
            child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.kill()
            child.wait(30)

    def kill_agent_run(self, attempt: Attempt, happened: Callable[[], bool], *, expired_s: float = 1) -> None:
        """Run the attempt until something has happened; then kill its process, and let the lease run out."""
        with self.agent_run_apart(attempt) as child:
            deadline = time.monotonic() + _PATIENCE_S
            while not happened():
                assert child.poll() is None, (self.home / "child.log").read_text("utf-8")[-4000:]
                assert time.monotonic() < deadline, (self.home / "child.log").read_text("utf-8")[-4000:]
                time.sleep(0.02)
        self.expire_lease(attempt, expired_s)

    def agent_run(self, attempt: Attempt, *, fails: bool = False, **options: Any) -> dg.ExecuteInProcessResult:
        """The run that the dispatch sensor asks for."""
        mark = {tags.ATTEMPT: attempt.id, tags.TASK: attempt.task_id, tags.TRACE: attempt.trace_id}
        return self.run("agent_run", tags=mark, fails=fails, **options)

    def read_attempt(self, attempt_id: str) -> Attempt:
        with self.ledger.read() as tx:
            return attempts.get(tx, attempt_id)

    def read_task(self, task_id: str) -> Task:
        with self.ledger.read() as tx:
            return tasks.get(tx, task_id)

    def sensor(self, definition: dg.SensorDefinition, cursor: str | None = None) -> Any:
        """One tick of a sensor."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources=self.resources, sensor_name=definition.name
        ) as context:
            return definition.evaluate_tick(context)

    def add_partitions(self, tick: Any) -> None:
        """Add the partitions that a sensor's tick requests."""
        for request in tick.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)

    def tick(self, definition: dg.SensorDefinition, cursor: str | None = None, *, fails: bool = False) -> "Tick":
        """Evaluate a sensor, add the partitions that it requests, and run what it requests, as the daemon does."""
        tick = self.sensor(definition, cursor)
        self.add_partitions(tick)
        runs = [
            self.request(request if request.job_name else request._replace(job_name=definition.job_name), fails=fails)
            for request in tick.run_requests or ()
        ]
        return Tick(tick.skip_message or "", tick.cursor, runs)

    def schedule(self, name: str, *, at: datetime | None = None) -> Any:
        """One tick of a schedule, now or at another time; its context takes no instance in memory."""
        definition = build_defs(resource_overrides=self.resources).resolve_schedule_def(name)
        with (
            dg.DagsterInstance.local_temp() as instance,
            dg.build_schedule_context(
                instance=instance, scheduled_execution_time=at or datetime.now(UTC), resources=self.resources
            ) as context,
        ):
            return definition.evaluate_tick(context), instance.get_dynamic_partitions("repositories")

    def past_run(self, job: str, status: dg.DagsterRunStatus, *, config: Any = None, **marks: str) -> str:
        """A run that the instance has on record and no process stands behind; its id."""
        definition = build_defs(resource_overrides=self.resources).resolve_job_def(job)
        failed = status is dg.DagsterRunStatus.FAILURE
        at_first = dg.DagsterRunStatus.STARTED if failed else status
        run = self.instance.create_run_for_job(definition, run_config=dict(config or {}), status=at_first, tags=marks)
        if failed:
            self.instance.report_run_failed(run)
        return run.run_id


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _range(instance: dg.DagsterInstance, names: Sequence[str]) -> dict[str, str]:
    keys = list(instance.get_dynamic_partitions("repositories"))
    places = sorted(keys.index(name) for name in names)
    return {
        "dagster/asset_partition_range_start": keys[places[0]],
        "dagster/asset_partition_range_end": keys[places[-1]],
    }


@pytest.fixture
def quiet_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline whose GitHub is an address where nothing listens."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    sqlite_ledger_file(home / "ledger.sqlite")
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "t" * 36)
    monkeypatch.setenv("SQUIRE_DISPATCH__WAIT_S", "0")  # a tick that finds nothing has nothing to come
    monkeypatch.setenv("SQUIRE_DISPATCH__BY_LOAD", "false")  # what the machine does besides decides nothing
    ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    with dg.DagsterInstance.ephemeral() as instance:
        made = Pipeline(home, "http://127.0.0.1:9", ledger, instance)
        made.configure()
        yield made
    ledger.close()
    stores.opened_ledger(made.settings.resolved_ledger_url).close()
    stores.opened_ledger.cache_clear()


@pytest.fixture
def pipeline(
    quiet_pipeline: Pipeline,
    forge: ForgeProcess,
    samples: tuple[SampleRepository, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Pipeline:
    """A pipeline on a forge with the samples."""
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    quiet_pipeline.api_url = forge.api_url
    quiet_pipeline.commands = {sample.full_name: sample.agent_command for sample in samples}
    quiet_pipeline.configure()
    return quiet_pipeline
