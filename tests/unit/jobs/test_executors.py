import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.jobs.executors import choose_executor
from squire_pipelines.settings import PipelineSettings, Settings, StepLimitSettings


def settings(**pipeline: Any) -> Settings:
    return Settings(pipeline=PipelineSettings(**pipeline))


def test_steps_run_in_the_runs_own_process_by_default() -> None:
    assert choose_executor(Settings()) is dg.in_process_executor


def test_auto_without_an_engine_is_the_runs_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert choose_executor(settings(executor="auto")) is dg.in_process_executor


def test_docker_needs_a_home_that_can_be_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_HOME")
    with pytest.raises(ConfigError, match="needs SQUIRE_HOME") as caught:
        choose_executor(settings(executor="docker"))
    assert caught.value.hint
    assert choose_executor(settings(executor="auto")) is dg.in_process_executor


def test_a_steps_container_has_limits_and_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = "ghp_" + "x" * 36
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", token)
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    chosen = settings(
        executor="docker",
        image="ours:1",
        network="host",
        step_limits=StepLimitSettings(cpus=0.5, memory=2**29, pids=77),
    )
    executor = choose_executor(chosen)
    schema = executor.config_schema
    resolved = schema.resolve_config({}) if hasattr(schema, "resolve_config") else None
    assert resolved is not None
    config = resolved.value["config"]
    assert config["image"] == "ours:1"
    kwargs = config["container_kwargs"]
    assert (kwargs["mem_limit"], kwargs["memswap_limit"], kwargs["nano_cpus"], kwargs["pids_limit"]) == (
        2**29,
        2**29,
        500_000_000,
        77,
    )
    assert kwargs["cap_drop"] == ["ALL"]
    assert kwargs["security_opt"] == ["no-new-privileges"]
    assert kwargs["network_mode"] == "host"
    assert f"{tmp_path}:{tmp_path}" in kwargs["volumes"]
    assert "SQUIRE_GITHUB_TOKEN" not in config["env_vars"]
    assert token not in json.dumps(resolved.value, default=str)
