"""The demo in processes of its own, killed in the middle: what it began is finished, nothing is done twice.

And no secret of it is in a file, an environment or a command line. It does one task in a repository of the test's;
`make soak` kills the demo of all samples, and its daemon and its code server alone, which it then replaces.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.bounds_page import unlisted
from tests.support.children import PATIENCE_S, alive
from tests.support.demos import INTERRUPTED, StartDemo, check_what_it_left, left_of, one_task
from tests.support.leak_search import files_with, processes_with

WITHOUT_DAEMON = "tests.support.demo_without_daemon"
BEGUN = "begun"


@pytest.fixture
def work(tmp_path: Path) -> tuple[str, ...]:
    """Return the words that have the demo do one task, at which its agent works long enough to be met."""
    return one_task(tmp_path, agent=f"touch {tmp_path / BEGUN}; sleep 2; sort -o a.txt a.txt")


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the waits within have limits of their own, and show the demo's log
def test_a_demo_that_is_killed_while_an_agent_runs_goes_on_at_the_next_start(
    start_demo: StartDemo, work: tuple[str, ...], tmp_path: Path
) -> None:
    demo = start_demo(*work, program=WITHOUT_DAEMON)
    demo.wait_until("its agent runs", (tmp_path / BEGUN).exists)
    secrets = demo.secrets()
    assert processes_with(secrets) == {}
    left = [demo.forge_pid, demo.pid_of("receiver")]
    os.killpg(demo.process.pid, signal.SIGKILL)
    demo.process.wait(PATIENCE_S)
    assert all(alive(pid) for pid in left)
    again = start_demo(*work, program=WITHOUT_DAEMON)
    again.wait_until("its own processes are up", lambda: again.says("are starting") == 2)
    assert again.says("stopped a forge that an earlier demo had left running") == 1
    assert again.says("stopped receiver, which an earlier Squire had left running") == 1
    assert again.says("continuing it") == 1
    secrets += again.secrets()
    again.ends_well()
    assert not any(alive(pid) for pid in left)
    assert files_with(again.home, secrets) == []
    check_what_it_left(again, tmp_path, pull_requests=1, follow_ups=0)
    assert len(again.ask("SELECT 1 FROM attempts")) == 2  # the one that was lost, and its retry
    assert unlisted(again.home) == []


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the waits within have limits of their own, and show the demo's log
def test_a_demo_that_is_terminated_leaves_nothing(start_demo: StartDemo, work: tuple[str, ...]) -> None:
    demo = start_demo(*work)

    def is_forked() -> bool:
        with suppress(FileNotFoundError):  # it has not started, or has just ended
            return any(children_of(server) for server in children_of(demo.pid_of("code-server")))
        return False

    demo.wait_until("a run is forked", is_forked)
    demo.process.terminate()
    demo.ends(INTERRUPTED, within_s=PATIENCE_S)
    assert left_of(demo) == []


@pytest.mark.slow
@pytest.mark.timeout(2400)  # likewise
def test_a_demo_that_is_told_to_end_twice_while_it_starts_leaves_nothing(
    start_demo: StartDemo, work: tuple[str, ...]
) -> None:
    demo = start_demo(*work, program=WITHOUT_DAEMON)
    demo.wait_until("its processes are up", lambda: demo.says("hosts") == 1)
    demo.process.send_signal(signal.SIGHUP)
    demo.process.send_signal(signal.SIGTERM)
    demo.ends(INTERRUPTED, within_s=PATIENCE_S)
    assert left_of(demo) == []
