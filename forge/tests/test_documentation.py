"""The forge's page of documentation: its command and its examples, run as they stand there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

PAGE = Path(__file__).parents[2] / "docs/reference/forge.md"


def _blocks(language: str) -> list[str]:
    if not PAGE.is_file():
        pytest.skip("the page is part of the project's repository, not of this distribution")
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_command_serves_the_samples_until_it_is_terminated(tmp_path: Path) -> None:
    (command,) = _blocks("console")
    argv = shlex.split(command.replace("/tmp/forge", str(tmp_path / "forge")).replace("8080", "0"))  # noqa: S108
    assert argv.pop(0) == "python"
    with subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        (documented,) = _blocks("json")
        assert ready.keys() == json.loads(documented).keys()
        token = Path(ready["token_file"]).read_text(encoding="utf-8")
        url = f"{ready['url']}/api/v3/repos/demo/ledgerlib"
        assert httpx.get(url, headers={"authorization": f"Bearer {token}"}).json()["full_name"] == "demo/ledgerlib"
        process.terminate()
        assert process.wait(10) == 0


def test_the_page_names_every_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squire_forge", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("usage: python -m squire_forge")
    options = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert options == {name for name in re.findall(r"--[a-z-]+", PAGE.read_text(encoding="utf-8")) if name in options}
    assert options


@pytest.mark.slow
def test_the_examples_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text("\n\n".join(_blocks("python")), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "test_page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
