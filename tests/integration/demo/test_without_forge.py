"""Squire without the forge's distribution: what is packaged, and what the demo says."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.children import PATIENCE_S

ROOT = Path(__file__).parents[3]
WITHOUT_FORGE = """
import sys
sys.modules["squire_forge"] = None  # as where it is not installed
from squire_pipelines.cli.main import main
main()
"""


def test_the_demo_names_the_command_that_installs_the_forge(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FORGE, "demo", "--home", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 3, done.stderr
    assert "squire-forge, which is not installed" in done.stderr
    assert 'pip install "squire-pipelines[demo]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_demo_and_no_forge(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "squire_pipelines/demo/driver.py" in names
    assert [name for name in names if not {"forge", "samples"}.isdisjoint(re.split(r"[^a-z]", name))] == []


def test_the_forge_is_an_extra(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    required = [line for line in wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist: ")]
    assert [line for line in required if "forge" in line] == ["Requires-Dist: squire-forge>=0.1; extra == 'demo'"]
    assert [line for line in required if "graphql" in line] == []
