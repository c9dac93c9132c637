"""The demo in processes of its own, killed in the middle: what it began is finished, nothing is done twice.

And no secret of it is in a file, an environment or a command line. It does one task in a repository of the test's;
`make soak` kills it with all of its samples.
"""

import os
import signal
from pathlib import Path

import pytest

from tests.support.bounds_page import unlisted
from tests.support.children import PATIENCE_S, alive
from tests.support.demos import INTERRUPTED, PROCESSES, StartDemo, check_what_it_left
from tests.support.leak_search import files_with, processes_with
from tests.support.worker import git


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the waits within have limits of their own, and show the demo's log
def test_what_is_killed_while_an_agent_runs_is_replaced_and_a_demo_killed_whole_goes_on_at_the_next_start(
    start_demo: StartDemo, tmp_path: Path
) -> None:
    own = tmp_path / "api"
    own.mkdir()
    git(own, "init", "--quiet", "--initial-branch=main")
    (own / "a.txt").write_text("b\na\n", encoding="utf-8")
    git(own, "add", "--all")
    git(own, "commit", "--quiet", "--message=first")
    # The agent works long enough to be met at it.
    work = ("--repo", str(own), "--issue", "Sort the lines", "--command", "sh -c 'sleep 3; sort -o a.txt a.txt'")
    demo = start_demo(*work)
    demo.wait_for("a task that runs", "SELECT 1 FROM attempts WHERE status = 'running'")
    secrets = demo.secrets()
    assert processes_with(secrets) == {}
    os.killpg(demo.pid_of("code-server"), signal.SIGKILL)  # and the runs, which are its children
    demo.wait_until("the code server is missed", lambda: demo.says("code-server has stopped") == 1)
    demo.wait_for("a task that runs again", "SELECT 1 FROM attempts WHERE status = 'running'")
    os.killpg(demo.pid_of("daemon"), signal.SIGKILL)
    demo.wait_until("the daemon is missed", lambda: demo.says("daemon has stopped") == 1)
    demo.wait_for("a pull request", "SELECT 1 FROM outcomes")
    demo.kill_all()
    again = start_demo(*work)
    again.wait_until("its own processes are up", lambda: again.says("are starting") == 2)
    secrets += again.secrets()
    again.ends_well()
    assert files_with(again.home, secrets) == []
    check_what_it_left(again, tmp_path, pull_requests=1, follow_ups=0)
    assert again.says("daemon has stopped") == 1
    assert again.says("continuing it") == 1
    assert unlisted(again.home) == []


@pytest.mark.slow
@pytest.mark.timeout(2400)  # the waits within have limits of their own, and show the demo's log
def test_what_a_killed_demo_left_running_is_ended_and_a_terminated_demo_leaves_nothing(start_demo: StartDemo) -> None:
    demo = start_demo()
    demo.wait_until("its processes are up", lambda: demo.says("are starting") == 1)
    left = [demo.forge_pid, *map(demo.pid_of, PROCESSES)]
    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.wait(PATIENCE_S)
    assert all(alive(pid) for pid in left)
    again = start_demo()
    again.wait_until("its own processes are up", lambda: again.says("are starting") == 2)
    assert again.says("stopped a forge that an earlier demo had left running") == 1
    assert again.says("which an earlier Squire had left running") == 3
    left += [again.forge_pid, *map(again.pid_of, PROCESSES)]
    again.process.terminate()
    again.ends(INTERRUPTED, within_s=PATIENCE_S)
    assert not any(alive(pid) for pid in left)
