"""The demo killed at one moment, and at moments that nobody chose, again and again, on one home: `make soak`.

Each round kills one process with what it started, or everything, at a random moment; the last start must end well.
`SQUIRE_SOAK_ROUNDS` sets the rounds (5), `SQUIRE_SOAK_SEED` repeats a sequence. `make test` kills a demo of one task
once, while its agent runs.
"""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.demos import PROCESSES, StartDemo, check_what_it_left

ROUNDS = int(os.environ.get("SQUIRE_SOAK_ROUNDS", "5"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))
LONGEST_S = 40.0


@pytest.mark.soak
@pytest.mark.timeout(120 * ROUNDS + 400)
def test_however_often_it_is_killed_each_task_is_done_once(start_demo: StartDemo, tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a sequence that can be repeated
    print(f"seed {SEED}")  # noqa: T201 - to repeat it
    for _ in range(ROUNDS):
        demo = start_demo()
        deadline = time.monotonic() + chance.uniform(1, LONGEST_S)
        while time.monotonic() < deadline and demo.process.poll() is None:
            time.sleep(0.1)
        if demo.process.poll() is not None:
            break
        with suppress(FileNotFoundError, ProcessLookupError):
            if chance.random() < 0.5:
                os.killpg(demo.pid_of(chance.choice(PROCESSES)), signal.SIGKILL)
            demo.kill_all()
        demo.process.kill()
        demo.process.wait(10)
    last = start_demo()
    last.ends_well()
    check_what_it_left(last, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", ["daemon", "code-server"])
def test_what_is_killed_while_an_agent_runs_is_replaced_and_the_demo_ends_well(
    start_demo: StartDemo, tmp_path: Path, name: str
) -> None:
    demo = start_demo()
    demo.wait_for("a task that runs", "SELECT 1 FROM attempts WHERE status = 'running'")
    os.killpg(demo.pid_of(name), signal.SIGKILL)
    demo.ends_well()
    check_what_it_left(demo, tmp_path)
    assert demo.says(f"{name} has stopped") == 1


@pytest.mark.soak
@pytest.mark.timeout(500)
def test_a_demo_that_is_killed_whole_goes_on_at_the_next_start(start_demo: StartDemo, tmp_path: Path) -> None:
    demo = start_demo()
    demo.wait_for("a pull request", "SELECT 1 FROM outcomes")
    demo.kill_all()
    again = start_demo()
    again.ends_well()
    check_what_it_left(again, tmp_path)
    assert again.says("continuing it") == 1
