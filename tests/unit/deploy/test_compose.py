"""The containers of deploy/compose: what each may do, and that their settings are ones of Squire's."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines.settings.model import load_settings
from tests.support.house import ROOT

FOLDER = ROOT / "deploy" / "compose"
BASE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
DEMO: dict[str, Any] = yaml.safe_load((FOLDER / "demo.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = {
    name: BASE["services"].get(name, {}) | DEMO["services"].get(name, {}) for name in (*BASE["services"], "forge")
}
SCRIPTS = sorted(path for path in FOLDER.iterdir() if path.is_file() and path.read_bytes().startswith(b"#!"))
_SECRET_WORDS = re.compile(r"(?i)password|token|secret|key")


def default(text: str) -> str:
    """Return what a value is where nobody sets its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_capability_and_gets_none(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)
    assert "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_its_secrets_in_files_alone(name: str) -> None:
    environment = BASE["services"].get(name, {}).get("environment", {}) | SERVICES[name].get("environment", {})
    assert [key for key in environment if _SECRET_WORDS.search(key)] == []
    assert not _SECRET_WORDS.search(" ".join(map(str, environment.values())).replace("/run/secrets/", ""))
    assert set(SERVICES[name].get("secrets", ())) <= set(BASE["secrets"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_host_serves_is_on_loopback_unless_somebody_says_otherwise(name: str) -> None:
    assert [port for port in SERVICES[name].get("ports", ()) if not default(port).startswith("127.0.0.1:")] == []


def test_only_a_worker_reaches_the_engine() -> None:
    with_engine = [name for name, service in SERVICES.items() if "docker.sock" in str(service.get("volumes", ()))]
    assert with_engine == ["worker"]


def test_the_database_and_the_queue_have_no_way_out_and_are_reached_by_our_own_alone() -> None:
    assert BASE["networks"]["stores"] == {"internal": True}
    assert [SERVICES[name]["networks"] for name in ("postgres", "redis")] == [["stores"], ["stores"]]
    assert all("ports" not in SERVICES[name] for name in ("postgres", "redis"))


def test_the_homes_are_at_the_same_path_in_a_worker_as_on_the_host() -> None:
    (data,) = (volume for volume in SERVICES["worker"]["volumes"] if "DEPLOY_DATA" in volume)
    assert default(data) == "/var/lib/squire:/var/lib/squire"


def test_a_worker_is_stopped_no_earlier_than_its_agents_may_work() -> None:
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > load_settings(FOLDER / "config.toml").workers.drain_s


def test_the_settings_are_valid_and_those_of_several_machines() -> None:
    settings = load_settings(FOLDER / "config.toml")
    assert settings.is_shared
    assert settings.files.url
    assert settings.board.login == "token"


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_a_script_is_one_that_a_shell_can_read(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
    assert script.stat().st_mode & 0o111


def test_secrets_are_made_once_and_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = [str(FOLDER / "make-secrets")]
    environment = {"DEPLOY_SECRETS": str(folder), "PATH": "/usr/bin:/bin"}
    without_token = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert without_token.returncode == 3
    assert f"{folder}/github-token" in without_token.stderr
    made = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    (folder / "github-token").write_text("ghp_1", encoding="utf-8")
    subprocess.run(command, env=environment, check=True, timeout=30)
    again = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert again == {**made, "github-token": "ghp_1"}
    assert set(again) == set(BASE["secrets"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "pgpass").stat().st_mode & 0o777 == 0o400
    assert all(re.fullmatch("[0-9a-f]{48}", made[name]) for name in ("postgres-password", "broker-key", "board-token"))
