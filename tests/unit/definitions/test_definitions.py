"""What Dagster gets to see: complete, described, and loaded without a warning."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterResourceFunctionError

from squire_pipelines.assets.history import TABLES
from squire_pipelines.definitions import build_defs
from squire_pipelines.domain.plans import PLAN_CHECKS
from squire_pipelines.domain.signals import HOOKS_SOURCE, MANUAL_SOURCE, FurtherSource, Source
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.operation import PipelineSettings
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.settings.model import Settings

SENSORS = {
    "webhooks",
    "report_deliveries",
    "plan_follows_signals",
    "task_schedules",
    "dispatch",
    "reaper",
    "recovery",
    "delivery_repair",
    "backups",
    "outcomes",
    "history_follows_events",
    "warm_pool",
    "seal_audit",
    "settings",
}
HOOKS, MANUAL = FurtherSource(HOOKS_SOURCE), FurtherSource(MANUAL_SOURCE)
SCHEDULES = {"collect_regularly", "publish_history_regularly", "report_daily", "clean_regularly"}
BY_HAND = {
    *("approve_tasks", "reject_tasks", "start_tasks", "prioritise_tasks", "cancel_tasks", "retry_tasks"),
    *("release_signal", "hold_signal", "collect_now"),
}
JOBS = {
    "collect",
    "plan",
    "agent_run",
    "follow",
    "recover",
    "repair_deliveries",
    "publish_history",
    "rebuild_history",
    "report_history",
    "clean",
    "back_up",
    "tend_warm_pool",
    *BY_HAND,
}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs(Settings(repositories=("acme/api",)))


@pytest.mark.slow
def test_no_config_of_ours_takes_the_value_of_an_environment_variable(defs: dg.Definitions) -> None:
    for job in defs.resolve_all_job_defs():
        kinds = set(job.get_config_schema_snapshot().all_config_snaps_by_key)
        assert not kinds & {"IntSourceType", "BoolSourceType"}, job.name
        if job.name in BY_HAND:  # the files of Dagster's own, which jobs of assets have, take one
            assert "StringSourceType" not in kinds, job.name


def test_loading_gives_no_warning(tmp_path: Path) -> None:
    script = "import squire_pipelines.definitions as d; d.defs().resolve_all_job_defs()"
    environment = {**os.environ, "SQUIRE_HOME": str(tmp_path)}
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert "warning" not in loaded.stderr.lower()


def test_all_that_is_there_is_there(defs: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    signals = {f"signals/{source.value}" for source in (*Source, HOOKS, MANUAL)} | {"signals/summary"}
    history = {f"history/{table}" for table in (*TABLES, "report")}
    deliveries = {"github/deliveries", "hooks/deliveries"}
    assert keys == signals | deliveries | {"task_plan", "tasks", "pull_requests", "budgets"} | history
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == JOBS
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == SENSORS
    assert {schedule.name for schedule in repository.schedule_defs} == SCHEDULES


def test_everything_says_what_it_is(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.kinds, key
        assert node.owners == ["team:squire"], key
        assert {"board", "github"} <= node.metadata.keys(), key
        assert node.group_name in {"signals", "planning", "delivery", "history"}, key
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).description, check
    repository = defs.get_repository_def()
    assert all(sensor.description for sensor in repository.sensor_defs)
    assert all(schedule.description for schedule in repository.schedule_defs)
    for job in defs.resolve_all_job_defs():
        assert job.name.startswith("__") or job.description, job.name
    assert all(step.definition.description for step in defs.resolve_job_def("agent_run").nodes)


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_a_job_of_people_describes_its_config_and_goes_before_agents(defs: dg.Definitions, name: str) -> None:
    job = defs.resolve_job_def(name)
    (node,) = job.nodes
    assert isinstance(node.definition, dg.OpDefinition)
    fields = node.definition.config_schema.config_type.fields  # type: ignore[union-attr]
    assert fields
    assert all(field.description for field in fields.values())
    assert int(job.run_tags["dagster/priority"]) > 0
    assert "command" in job.metadata


def test_signals_lead_to_the_plan_to_tasks_to_pull_requests_to_the_history(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    def before(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name.split("/"))).parent_keys}

    signals = {f"signals/{source.value}" for source in (*Source, HOOKS, MANUAL)}
    assert before("github/deliveries") == before("hooks/deliveries") == set()
    assert before("signals/hooks") == {"hooks/deliveries"}
    assert before("history/deliveries") == {"github/deliveries", "hooks/deliveries"}
    assert before("signals/open_prs") == {"github/deliveries"}
    assert before("signals/summary") == signals
    assert before("task_plan") == signals
    assert before("tasks") == {"task_plan"}
    assert before("pull_requests") == {"tasks"}
    assert before("history/budgets") == {"budgets"}
    assert before("history/outcomes") == {"pull_requests"}
    assert before("history/tasks") == {"tasks"}
    assert before("history/signals") == signals


def test_the_checks_of_the_plan_block_but_for_the_one_that_warns(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    checks = {(key.asset_key.to_user_string(), key.name): graph.get_check_spec(key) for key in graph.asset_check_keys}
    blocking = {name: spec.blocking for (asset, name), spec in checks.items() if asset == "task_plan"}
    assert blocking == {"confidence": False, "groups": False, **dict.fromkeys(("planned", *PLAN_CHECKS), True)}
    assert {asset for asset, name in checks if name == "source_answered"} == {
        f"signals/{source.value}" for source in (*Source, HOOKS, MANUAL)
    }


def test_sensors_and_schedules_run_by_default_and_have_their_job(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    assert {sensor.default_status for sensor in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {schedule.execution_timezone for schedule in repository.schedule_defs} == {"UTC"}
    targets = {sensor.name: {target.job_name for target in sensor.targets} for sensor in repository.sensor_defs}
    assert targets == {
        "webhooks": {"collect"},
        "plan_follows_signals": {"plan"},
        "dispatch": {"agent_run"},
        "reaper": {"agent_run"},
        "recovery": {"recover"},
        "delivery_repair": {"repair_deliveries"},
        "backups": {"back_up"},
        "outcomes": {"follow"},
        "history_follows_events": {"publish_history"},
        "warm_pool": {"tend_warm_pool"},
        "report_deliveries": set(),  # it shows what was done
        "settings": set(),  # likewise it makes repositories known
        "seal_audit": set(),  # it seals by itself
        "task_schedules": set(),  # likewise it makes tasks by itself
    }


def test_each_call_gives_fresh_definitions() -> None:
    one, other = build_defs(Settings()), build_defs(Settings())
    assert one is not other
    assert one.resources is not None
    assert other.resources is not None
    assert one.resources["settings"] is not other.resources["settings"]


def test_resources_can_be_replaced() -> None:
    replacement = object()
    replaced = build_defs(Settings(), resource_overrides={"github": replacement})
    assert replaced.resources is not None
    assert replaced.resources["github"] is replacement


def test_the_schedule_follows_the_settings() -> None:
    defs = build_defs(Settings(collection=CollectionSettings(schedule="7 * * * *")))
    assert defs.resolve_schedule_def("collect_regularly").cron_schedule == "7 * * * *"


def test_the_schedule_has_the_time_zone_and_looks_each_minute_for_an_interval() -> None:
    defs = build_defs(Settings(collection=CollectionSettings(time_zone="Europe/Zurich")))
    assert defs.resolve_schedule_def("collect_regularly").execution_timezone == "Europe/Zurich"
    defs = build_defs(Settings(collection=CollectionSettings(interval_s=300)))
    assert defs.resolve_schedule_def("collect_regularly").cron_schedule == "* * * * *"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('time_zone = "Mars/Olympus"', "collection.time_zone"),
        ('quiet_hours = "22-6"', "collection.quiet_hours"),
        ("interval_s = 90", "collection.interval_s"),
        ('schedule = "61 * * * *"', "collection.schedule"),
    ],
)
def test_a_wrong_time_is_named_and_the_schedule_loads_all_the_same(
    line: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(f"[collection]\n{line}\n", encoding="utf-8")
    monkeypatch.setenv("SQUIRE_CONFIG", str(wrong))
    defs = build_defs()
    assert field in str(defs.metadata["settings_error"].value)
    assert defs.resolve_schedule_def("collect_regularly").cron_schedule == "*/10 * * * *"


def test_settings_that_cannot_be_used_leave_the_definitions_and_fail_every_tick_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[dispatch]\nmax_concurrent = 0\n", encoding="utf-8")
    monkeypatch.setenv("SQUIRE_CONFIG", str(wrong))
    defs = build_defs()
    reason = r"wrong\.toml.*dispatch\.max_concurrent"
    assert re.search(reason, str(defs.metadata["settings_error"].value))
    dispatch = defs.resolve_sensor_def("dispatch")
    assert defs.resources is not None
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(DagsterResourceFunctionError) as caught,
        dg.build_sensor_context(instance=instance, resources=defs.resources, sensor_name="dispatch") as context,
    ):
        dispatch.evaluate_tick(context)
    assert isinstance(caught.value.__cause__, ConfigError)
    assert re.search(reason, str(caught.value.__cause__))


def test_a_wrong_variable_leaves_the_definitions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "many")
    assert "SQUIRE_DISPATCH__MAX_CONCURRENT" in str(build_defs().metadata["settings_error"].value)


def test_step_containers_that_cannot_be_had_leave_the_definitions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_HOME", raising=False)
    defs = build_defs(Settings(pipeline=PipelineSettings(executor="docker")))
    assert "needs SQUIRE_HOME" in str(defs.metadata["settings_error"].value)
