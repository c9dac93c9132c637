"""What tools leave in the clone is no part of the change, and its result says so."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.leftovers import LEFTOVERS, leftover_patterns
from tests.support.worker import Desk, git, make_desk

Run = Callable[..., subprocess.CompletedProcess[str]]
CORE = "printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\004\\0' >"
WORK = "echo 'print(1)' > app.py"
NESTED = "git init --quiet {0} && echo x > {0}/x && (cd {0} && git add x && git commit --quiet -m x)"


def worked(
    tmp_path: Path,
    run: Run,
    script: str,
    *,
    base: dict[str, str] | None = None,
    patterns: tuple[str, ...] = LEFTOVERS,
) -> tuple[dict[str, Any], list[str]]:
    """Lets a shell script be the agent; its result, and `status path` of what the change has."""
    desk: Desk = make_desk(tmp_path / "desk", command=["sh", "-ec", script])
    base_sha = desk.base_sha
    if base:
        for name, text in base.items():
            (desk.origin / name).parent.mkdir(parents=True, exist_ok=True)
            (desk.origin / name).write_text(text, encoding="utf-8")
        git(desk.origin, "add", "--all", "--force")
        git(desk.origin, "commit", "--quiet", "--message=base")
        git(desk.origin, "bundle", "create", "--quiet", str(desk.inbox / "repo.bundle"), "refs/heads/main")
        base_sha = git(desk.origin, "rev-parse", "HEAD")
    desk.rewrite(leftovers=list(patterns), base_sha=base_sha)
    done = run(desk)
    assert done.returncode == 0, done.stderr
    result = desk.result()
    if not desk.has_bundle:
        return result, []
    changed = git(desk.fetched(), "diff", "--no-renames", "--name-status", f"{base_sha}..refs/heads/result")
    return result, [line.replace("\t", " ") for line in changed.splitlines()]


def test_caches_dependencies_cores_and_nested_repositories_are_left_out_with_their_names(
    tmp_path: Path, run: Run
) -> None:
    script = f"""{WORK}
mkdir -p pkg/__pycache__ node_modules/left .venv/bin env/lib build
echo x > pkg/__pycache__/a.pyc; echo x > pkg/new.py; echo x > node_modules/left/index.js; echo x > .venv/bin/python
echo home > env/pyvenv.cfg; echo x > env/lib/y.py; echo 'Signature: 8a47' > build/CACHEDIR.TAG
{CORE} core; {CORE} pkg/core.123; {NESTED.format("sub")}; git init --quiet 'odd *[1]'; echo x > 'odd *[1]/y'
"""
    result, changed = worked(tmp_path, run, script)
    assert changed == ["M app.py", "A pkg/new.py"]
    assert sorted(result["left_out"]) == [
        ".venv/", "build/", "core", "env/", "node_modules/", "odd *[1]/", "pkg/__pycache__/", "pkg/core.123", "sub/",
    ]  # fmt: skip


@pytest.mark.parametrize("commit", ["git add --all; git commit --quiet -m work", "true"])
def test_the_agents_own_commits_take_none_of_it_in(tmp_path: Path, run: Run, commit: str) -> None:
    script = f"{WORK}; mkdir node_modules; echo x > node_modules/a; {NESTED.format('sub')}; {commit}"
    result, changed = worked(tmp_path, run, script)
    assert changed == ["M app.py"]
    assert sorted(result["left_out"]) == ["node_modules/", "sub/"]


def test_what_the_repository_tracks_stays_part_of_the_change(tmp_path: Path, run: Run) -> None:
    base = {"node_modules/a.js": "1", "tests/core": "no dump", "env/kept.py": "1", "old.pyc": "1"}
    script = "echo 2 > node_modules/a.js; echo 2 > node_modules/b.js; echo 2 > old.pyc; echo x > env/pyvenv.cfg"
    script += "; echo 2 > tests/core; mkdir src core .tox; echo x > src/core; echo x > core/app.py; echo x > .tox/x"
    result, changed = worked(tmp_path, run, script, base=base)
    assert changed == [
        "A core/app.py", "A env/pyvenv.cfg", "M node_modules/a.js", "A node_modules/b.js", "M old.pyc", "A src/core",
        "M tests/core",
    ]  # fmt: skip
    assert result["left_out"] == [".tox/"]


def test_the_repositorys_own_rules_come_first(tmp_path: Path, run: Run) -> None:
    base = {".gitignore": "ignored/\n.tox/\n!node_modules/\n"}
    script = "mkdir .tox node_modules; echo x > .tox/x; echo x > node_modules/a.js"
    result, changed = worked(tmp_path, run, script, base=base)
    assert changed == ["A node_modules/a.js"]
    assert result["left_out"] == [], "what the repository itself ignores is nothing to tell"


def test_what_the_task_names_is_work(tmp_path: Path, run: Run) -> None:
    patterns = leftover_patterns(["Commit node_modules, as our action needs it"])
    script = "mkdir node_modules .venv; echo x > node_modules/a.js; echo x > .venv/a"
    result, changed = worked(tmp_path, run, script, patterns=patterns)
    assert changed == ["A node_modules/a.js"]
    assert result["left_out"] == [".venv/"]


def test_nothing_but_leftovers_is_no_change(tmp_path: Path, run: Run) -> None:
    result, changed = worked(tmp_path, run, f"mkdir __pycache__; echo x > __pycache__/a.pyc; {NESTED.format('sub')}")
    assert (result["status"], changed) == ("no_changes", [])


def test_names_are_told_up_to_a_bound(tmp_path: Path, run: Run) -> None:
    script = WORK + '; for n in $(seq 30); do mkdir -p "d$n/__pycache__"; echo x > "d$n/__pycache__/x"; done'
    result, changed = worked(tmp_path, run, script)
    assert changed == ["M app.py"]
    assert (len(result["left_out"]), result["left_out"][-1]) == (21, "and 10 more")


def test_a_link_called_core_is_no_dump(tmp_path: Path, run: Run) -> None:
    _, changed = worked(tmp_path, run, f"{WORK}; ln -s app.py core; mkfifo pipe")
    assert changed == ["M app.py", "A core"]
