"""Importing the definitions, which every run does, imports nothing that only some runs need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OF_SOME_RUNS = {
    *("alembic", "anyio", "cryptography", "dagster_docker", "docker", "duckdb", "gidgethub", "httpx", "jwt", "keyring"),
    *("matplotlib", "numpy", "PIL", "pydantic_ai", "requests", "rich", "sqlalchemy", "stamina", "starlette"),
    *("structlog", "uvicorn"),
}
OUR_LIBRARIES = {
    f"squire_pipelines.{name}"
    for name in (
        *("agents", "cli", "demo", "execution", "github", "ledger", "planning", "publishing", "runtime"),
        *("warehouse", "webhooks"),
    )
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that a fresh process has, once Dagster's repository is built of the definitions."""
    script = (
        "import json, sys; from squire_pipelines.definitions import build_defs; "
        "build_defs().get_repository_def(); print(json.dumps(list(sys.modules)))"
    )
    home = str(tmp_path_factory.mktemp("home"))
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SQUIRE_HOME": home},
        cwd=Path(__file__).resolve().parents[3],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return set(json.loads(process.stdout))


@pytest.mark.slow
def test_libraries_that_only_some_runs_need_are_not_imported(imported: set[str]) -> None:
    assert not imported & OF_SOME_RUNS


@pytest.mark.slow
def test_our_own_libraries_are_not_imported(imported: set[str]) -> None:
    assert not imported & OUR_LIBRARIES
