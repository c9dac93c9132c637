import json
import pkgutil
import subprocess
import sys

import pytest

import squire_pipelines.cli

HEAVY = ("dagster", "pydantic_ai", "docker", "duckdb")
MODULES = sorted(
    f"squire_pipelines.cli.{module.name}"
    for module in pkgutil.iter_modules(squire_pipelines.cli.__path__)
    if module.name != "__main__"
)


def _loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_no_module_of_the_command_imports_what_is_slow_and_seldom_needed() -> None:
    loaded = _loaded_after("\n".join(f"import {name}" for name in MODULES))
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("words", [[], ["--help"], ["tasks", "--help"], ["tasks", "list"]])
def test_help_and_the_list_load_neither_pydantic_nor_sqlalchemy(words: list[str]) -> None:
    loaded = _loaded_after(
        f"from squire_pipelines.cli.main import cli\ncli.main({words!r}, prog_name='squire', standalone_mode=False)"
    )
    assert not loaded.intersection({*HEAVY, "pydantic", "sqlalchemy"})


def test_help_of_the_group_imports_no_command() -> None:
    loaded = _loaded_after(
        "from squire_pipelines.cli.main import cli\ncli.main(['--help'], prog_name='squire', standalone_mode=False)"
    )
    ours = {name for name in loaded if name.startswith("squire_pipelines.cli.")}
    assert ours == {f"squire_pipelines.cli.{name}" for name in ("main", "lazy", "context")}
