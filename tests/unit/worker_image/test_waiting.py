"""A worker that was started before anybody knew what for: it waits at its pipe, and ends when nobody comes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[3] / "worker-image"
CODE = "from squire_worker.waiting import wait_for_order; import os; wait_for_order(); print(os.environ.get('A'))"


def start(pipe: Path | None, wait_s: int = 30) -> "subprocess.Popen[str]":
    order = {"SQUIRE_ORDER": str(pipe), "SQUIRE_ORDER_WAIT_S": str(wait_s)} if pipe else {}
    code = f"import sys; sys.path.insert(0, {str(WORKER)!r}); {CODE}"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env={**os.environ, **order}, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    made = tmp_path / "order"
    os.mkfifo(made)
    return made


def test_the_orders_environment_is_taken_over(pipe: Path) -> None:
    child = start(pipe)
    with pipe.open("wb"):
        pass  # opened and closed is no order
    with pipe.open("wb") as file:
        file.write(json.dumps({"environment": {"A": "1"}}).encode())
    assert child.communicate(timeout=30)[0] == "1\n"
    assert child.returncode == 0


def test_without_a_pipe_it_goes_on_at_once() -> None:
    child = start(None)
    assert child.communicate(timeout=30)[0] == "None\n"


def test_it_ends_when_it_is_asked_to_and_when_nobody_comes(pipe: Path) -> None:
    asked, forgotten = start(pipe, wait_s=600), start(pipe, wait_s=1)
    assert forgotten.wait(timeout=30) == -signal.SIGALRM
    asked.terminate()
    assert asked.wait(timeout=30) == -signal.SIGTERM
    for child in (asked, forgotten):
        child.communicate()
