"""Every way in which an attempt ends, with real git and real processes."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.branches import NO_NAMES, UNUSUAL
from tests.support.worker import BRANCH, Desk, git

Run = Callable[..., subprocess.CompletedProcess[str]]
DeskFor = Callable[..., Desk]
Script = Callable[[str], list[str]]

EDIT = "open('app.py', 'a').write('# more\\n')\n"


def test_uncommitted_edits_are_committed_as_the_bot(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script(EDIT + "open('new.txt', 'w').write('x')"))
    done = run(desk)
    result = desk.result()
    assert done.returncode == 0, done.stderr
    assert (result["status"], result["commits"], result["uncommitted_committed"]) == ("changed", 1, True)
    assert result["error"] is None
    fetched = desk.fetched()
    assert git(fetched, "rev-parse", "result") == result["head_sha"]
    assert git(fetched, "log", "-1", "--format=%an|%ae|%cn|%s", "result") == (
        "squire-bot|squire-bot@example.invalid|squire-bot|Do the task"
    )
    assert git(fetched, "diff", "--name-only", desk.base_sha, "result").split() == ["app.py", "new.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_a_branch_may_have_every_name_that_git_takes(desk_for: DeskFor, script: Script, run: Run, name: str) -> None:
    desk = desk_for(script(EDIT))
    git(desk.origin, "update-ref", f"refs/heads/{name}", desk.base_sha)
    git(desk.origin, "bundle", "create", "--quiet", str(desk.inbox / "repo.bundle"), f"refs/heads/{name}")
    desk.rewrite(base_ref=name, branch=f"squire/{name}")
    done = run(desk)
    assert done.returncode == 0, done.stderr
    assert (desk.result()["status"], desk.result()["commits"]) == ("changed", 1)
    heads = git(desk.origin, "bundle", "list-heads", str(desk.out / "result.bundle"))
    assert heads == f"{desk.result()['head_sha']} refs/heads/squire/{name}"


@pytest.mark.slow
@pytest.mark.parametrize("field", ["branch", "base_ref"])
@pytest.mark.parametrize("name", [name for name in NO_NAMES if name])
def test_a_branch_whose_name_git_does_not_take_is_named(
    desk_for: DeskFor, script: Script, run: Run, field: str, name: str
) -> None:
    desk = desk_for(script(EDIT))
    desk.rewrite(**{field: name})
    assert run(desk).returncode == 120
    assert desk.result()["error"] == {"code": "input_invalid", "message": f"{field} is no name for a branch"}


def test_the_agents_own_commits_are_kept_and_the_rest_added(desk_for: DeskFor, script: Script, run: Run) -> None:
    source = (
        "import subprocess\n"
        "def commit(n):\n"
        "    open(f'{n}.txt', 'w').write('x')\n"
        "    subprocess.check_call(['git', 'add', '-A'])\n"
        "    subprocess.check_call(['git', 'commit', '-qm', n])\n"
        "commit('one'); commit('two')\n" + EDIT
    )
    desk = desk_for(script(source))
    run(desk)
    assert desk.result()["commits"] == 3
    assert desk.log() == ["squire-bot: one", "squire-bot: two", "squire-bot: Do the task"]


def test_commits_alone_leave_nothing_to_commit(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script(EDIT + "import subprocess; subprocess.check_call(['git', 'commit', '-qam', 'mine'])"))
    run(desk)
    assert desk.result()["uncommitted_committed"] is False
    assert desk.log() == ["squire-bot: mine"]


@pytest.mark.parametrize(
    "source",
    [
        "pass",
        "import os; os.mkdir('ignored'); open('ignored/x', 'w').write('x')",
        "import subprocess; subprocess.check_call(['git', 'commit', '--allow-empty', '-qm', 'nothing'])",
        "import os; os.utime('app.py')",
    ],
    ids=["nothing", "ignored files only", "an empty commit", "touched only"],
)
def test_no_change_makes_no_bundle(desk_for: DeskFor, script: Script, run: Run, source: str) -> None:
    desk = desk_for(script(source))
    assert run(desk).returncode == 0
    result = desk.result()
    assert (result["status"], result["head_sha"], result["commits"]) == ("no_changes", None, 0)
    assert not desk.has_bundle


@pytest.mark.parametrize(("commits", "status"), [("--allow-empty", "changed"), ("--dry-run", "no_changes")])
def test_a_commit_without_a_change_is_an_answer_where_the_attempt_takes_that(
    desk_for: DeskFor, script: Script, run: Run, commits: str, status: str
) -> None:
    desk = desk_for(script(f"import subprocess; subprocess.call(['git', 'commit', {commits!r}, '-qm', 'Keep it'])"))
    desk.rewrite(takes_empty=True)
    assert run(desk).returncode == 0
    assert (desk.result()["status"], desk.has_bundle) == (status, status == "changed")


def test_the_agents_exit_code_is_ours_and_its_work_is_kept(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script(EDIT + "raise SystemExit(3)"))
    assert run(desk).returncode == 3
    assert (desk.result()["status"], desk.result()["agent_exit_code"]) == ("changed", 3)


def test_an_agent_killed_by_a_signal_ends_as_a_shell_says(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert run(desk).returncode == 137
    assert desk.result()["agent_exit_code"] == 137


def test_result_says_when_and_how_long(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script("pass"))
    done = run(desk)
    timings = desk.result()["timings"]
    start, end = (datetime.fromisoformat(timings[name]) for name in ("agent_start", "agent_end"))
    assert timedelta(0) <= end - start < timedelta(minutes=1)
    assert start.tzinfo is not None
    assert abs(start - datetime.now(UTC)) < timedelta(minutes=5)
    assert timings["clone_s"] > 0
    assert timings["bundle_s"] > 0
    assert "squire: agent started\n" in done.stderr


def test_the_agent_runs_in_the_clone_on_its_branch_and_sees_little_else(
    desk_for: DeskFor, script: Script, run: Run
) -> None:
    source = (
        "import json, os, subprocess, sys\n"
        "git = lambda *a: subprocess.check_output(['git', *a], text=True).strip()\n"
        "json.dump({'env': dict(os.environ), 'cwd': os.getcwd(), 'branch': git('branch', '--show-current'),\n"
        "  'head': git('rev-parse', 'HEAD'), 'remotes': git('remote'), 'stdin': sys.stdin.read(),\n"
        "  'leader': os.getpid() == os.getpgrp()}, open('seen.json', 'w'))\n"
    )
    desk = desk_for(script(source))
    run(desk, SQUIRE_MODEL_KEY="never", GITHUB_TOKEN="never", LANG="C.UTF-8")
    seen: dict[str, Any] = json.loads((desk.work / "repo" / "seen.json").read_text(encoding="utf-8"))
    assert Path(seen["cwd"]) == desk.work / "repo"
    assert (seen["branch"], seen["head"], seen["remotes"], seen["stdin"]) == (BRANCH, desk.base_sha, "", "")
    assert seen["leader"] is True
    assert "never" not in seen["env"].values()
    assert seen["env"]["SQUIRE_ATTEMPT_ID"] == "attempt-1"
    assert seen["env"]["SQUIRE_REPOSITORY"] == "acme/sample"
    assert seen["env"]["SQUIRE_TASK_FILE"] == str(desk.inbox / "task.json")
    assert seen["env"]["SQUIRE_PROMPT_FILE"] == str(desk.inbox / "prompt.md")


def test_a_missing_agent_is_named_with_the_path_searched(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["no-such-agent"])
    assert run(desk).returncode == 127
    result = desk.result()
    assert (result["status"], result["error"]["code"]) == ("error", "agent_not_found")
    assert "no-such-agent" in result["error"]["message"]
    assert desk.environment()["PATH"] in result["error"]["message"]
    assert result["timings"]["clone_s"] > 0


def test_an_agent_that_may_not_be_executed_is_126(desk_for: DeskFor, run: Run, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    desk = desk_for([str(program)])
    assert run(desk).returncode == 126
    assert desk.result()["error"]["code"] == "agent_not_executable"


def test_an_agent_whose_interpreter_is_missing_is_126(desk_for: DeskFor, run: Run, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    program.chmod(0o755)
    desk = desk_for([str(program)])
    assert run(desk).returncode == 126
    assert desk.result()["error"]["code"] == "agent_not_executable"


def test_an_agent_of_the_repository_is_found_by_its_relative_path(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["./no-such-script"])
    assert run(desk).returncode == 127


@pytest.mark.parametrize("name", ["repo.bundle", "task.json", "prompt.md", "attempt.json"])
def test_a_missing_input_is_named(desk_for: DeskFor, run: Run, name: str) -> None:
    desk = desk_for(["true"])
    (desk.inbox / name).unlink()
    assert run(desk).returncode == 120
    assert desk.result()["error"]["code"] == "input_invalid"
    assert name in desk.result()["error"]["message"]


def test_a_broken_bundle_is_a_failure_of_git(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["true"])
    (desk.inbox / "repo.bundle").write_bytes(b"no bundle")
    assert run(desk).returncode == 121
    assert desk.result()["error"]["code"] == "git_failed"
    assert "git fetch" in desk.result()["error"]["message"]


def test_a_base_that_the_bundle_lacks_is_a_failure_of_git(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["true"])
    desk.rewrite(base_sha="0" * 39 + "1")
    assert run(desk).returncode == 121
    assert "git checkout" in desk.result()["error"]["message"]


def test_an_older_base_of_the_branch_can_be_worked_on(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script("open('new.txt', 'w').write('x')"))
    older = git(desk.origin, "rev-parse", "HEAD~1")
    desk.rewrite(base_sha=older)
    assert run(desk).returncode == 0
    fetched = desk.fetched()
    assert git(fetched, "rev-parse", "result~1") == older
    assert git(fetched, "show", "--name-only", "--format=", "result") == "new.txt"


def test_without_git_the_failure_says_so(desk_for: DeskFor, run: Run, tmp_path: Path) -> None:
    desk = desk_for(["true"])
    (tmp_path / "empty").mkdir()
    assert run(desk, PATH=str(tmp_path / "empty")).returncode == 121
    assert "git" in desk.result()["error"]["message"]


def test_an_unexpected_failure_leaves_a_result_and_a_traceback(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["true"])
    (desk.work / "repo").mkdir()
    done = run(desk)
    assert done.returncode == 1
    assert "FileExistsError" in done.stderr
    assert desk.result()["error"]["code"] == "internal"
