import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.worker import ENTRYPOINT, Desk, make_desk

# The worker's parts are no installed package: the image and the local runner find them beside the entrypoint.
sys.path.insert(0, str(ENTRYPOINT.parent))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """A Python agent: its source in, the command line that runs it out."""

    def write(source: str) -> list[str]:
        path = tmp_path / f"agent-{len(list(tmp_path.glob('agent-*')))}.py"
        path.write_text(source, encoding="utf-8")
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def run() -> Run:
    """Runs the entrypoint as the local runner does: this Python, isolated, paths in the environment."""

    def start(desk: Desk, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(ENTRYPOINT)],
            env=desk.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def desk_for(tmp_path: Path) -> Callable[..., Desk]:
    """Makes the folders of one attempt with the given agent."""

    def make(command: list[str] | None = None, **more: str) -> Desk:
        return make_desk(tmp_path / "desk", command=command, **more)

    return make


@pytest.fixture
def fake_opencode(tmp_path: Path) -> Path:
    """A folder with an `opencode` that writes down how it was called and then edits a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "opencode"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "if sys.argv[1:] == ['--version']:\n"
        "    print('9.9.9'); sys.exit()\n"
        "config = json.load(open(os.environ['OPENCODE_CONFIG']))\n"
        "call = {'argv': sys.argv[1:], 'env': dict(os.environ), 'config': config, 'cwd': os.getcwd()}\n"
        "call['stdin'] = sys.stdin.read()\n"
        f"json.dump(call, open({json.dumps(str(tmp_path / 'call.json'))}, 'w'))\n"
        "open('app.py', 'a').write('# seen\\n')\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(autouse=True)
def _no_host_git_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
