"""A person's own repository: what is refused, and that nothing in it is changed."""

import subprocess
from pathlib import Path

import pytest

from squire_pipelines.demo.local import inspect_repository, pull_request_diff
from squire_pipelines.errors import ExitCode, RepositoryError
from squire_pipelines.terminal.diffs import write_patch
from squire_pipelines.terminal.output import write_line
from tests.support.worker import git


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "My API (old)"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=mainline/2.x")
    (path / "a.py").write_text("import os\n")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message=first")
    return path


def test_a_repository_in_good_order_is_taken_with_its_branch(own: Path) -> None:
    (own / "src").mkdir()
    for path in (own, own / "src"):
        local = inspect_repository(path)
        assert (local.path, local.branch, local.full_name) == (own.resolve(), "mainline/2.x", "local/My-API-old")
    hosting = local.hosting("Sort the imports")
    assert hosting["default_branch"] == "mainline/2.x"
    assert hosting["path"] == str(own.resolve())
    issues = hosting["issues"]
    assert isinstance(issues, list)
    assert (issues[0]["title"], issues[0]["labels"]) == ("Sort the imports", ["squire"])


def test_a_name_without_any_letter_that_github_knows_gets_another(tmp_path: Path, own: Path) -> None:
    renamed = own.rename(tmp_path / "…")
    assert inspect_repository(renamed).full_name == "local/repository"


@pytest.mark.parametrize(
    ("spoil", "message", "hint"),
    [
        ("missing", "does not exist", "local git repository"),
        ("file", "is no git repository", "git init"),
        ("plain", "is no git repository", "git init"),
        ("empty", "has no commits yet", "git commit"),
        ("changed", r"has uncommitted changes: a\.py", "git stash"),
        ("untracked", "uncommitted changes: 0, 1, 2 and 2 more", "git stash"),
        ("detached", "is on no branch", "git switch"),
        ("merge", r"in the middle of a git merge, with conflicts in ä\.py", "git merge --abort"),
        ("rebase", r"in the middle of a git rebase, with conflicts in ä\.py", "git rebase --abort"),
        ("stash", r"has conflicts in ä\.py", "git add NAME"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_next_step(
    own: Path, tmp_path: Path, spoil: str, message: str, hint: str
) -> None:
    path = own
    if spoil == "missing":
        path = tmp_path / "none"
    elif spoil == "file":
        path = own / "a.py"
    elif spoil == "plain":
        path = tmp_path / "plain"
        path.mkdir()
    elif spoil == "empty":
        path = tmp_path / "empty"
        path.mkdir()
        git(path, "init", "--quiet")
    elif spoil == "changed":
        (own / "a.py").write_text("import sys\n")
    elif spoil == "untracked":
        for number in range(5):
            (own / str(number)).touch()
    elif spoil == "detached":
        git(own, "checkout", "--quiet", "--detach")
    else:
        _leave_unfinished(own, spoil)
    with pytest.raises(RepositoryError, match=message) as caught:
        inspect_repository(path)
    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def _leave_unfinished(path: Path, command: str) -> None:
    """Have a git command stop at a conflict in `ä.py`."""
    git(path, "branch", "other")
    for branch in ("mainline/2.x", "other"):
        git(path, "checkout", "--quiet", branch)
        (path / "ä.py").write_text(f"{branch}\n")
        git(path, "add", "--all")
        if command != "stash" or branch != "other":
            git(path, "commit", "--quiet", f"--message={branch}")
    if command == "stash":
        git(path, "stash", "--quiet")
        git(path, "checkout", "--quiet", "mainline/2.x")
    words = ("stash", "pop") if command == "stash" else (command, "mainline/2.x")
    with pytest.raises(subprocess.CalledProcessError):
        git(path, *words)


def test_a_bare_repository_and_gits_own_folder_are_refused_as_such(own: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(own), str(tmp_path / "bare.git"))
    with pytest.raises(RepositoryError, match="is a bare repository, which has no working tree") as caught:
        inspect_repository(tmp_path / "bare.git")
    assert "git clone" in caught.value.hint
    with pytest.raises(RepositoryError, match="is git's own folder of a repository"):
        inspect_repository(own / ".git")


def test_examining_changes_nothing(own: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    inspect_repository(own)
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == before


def test_a_repositorys_own_settings_run_nothing(own: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    script = tmp_path / "monitor.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    git(own, "config", "core.fsmonitor", str(script))
    inspect_repository(own)
    assert not mark.exists()


def test_what_a_pull_request_changes_is_shown_before_and_after_its_merge(own: Path) -> None:
    git(own, "checkout", "--quiet", "-b", "squire/x")
    (own / "a.py").write_text("import sys\n")
    git(own, "commit", "--quiet", "--all", "--message=second")
    head = git(own, "rev-parse", "HEAD")
    pull = {"merge_sha": None, "base": "mainline/2.x", "head_sha": head}
    diff = pull_request_diff(own, pull)
    assert diff.patch is not None
    assert b"-import os\n+import sys" in diff.patch
    assert diff.stat == " a.py | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)"
    git(own, "checkout", "--quiet", "mainline/2.x")
    git(own, "merge", "--quiet", "--no-ff", "--message=merge", "squire/x")
    merged = pull | {"merge_sha": git(own, "rev-parse", "HEAD")}
    assert pull_request_diff(own, merged).patch == diff.patch


def test_git_apply_takes_a_patch_of_any_file_whatever_git_is_set_to(
    own: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (own / "dos.txt").write_bytes(b"one\r\n\ttwo\r\nthree\r\n")
    (own / "gone.txt").write_text("gone\n")
    git(own, "add", "--all")
    git(own, "commit", "--quiet", "--message=before")
    for setting in ("diff.noprefix=true", "diff.context=0", "color.diff=always", "diff.mnemonicPrefix=true"):
        git(own, "config", *setting.split("="))
    git(own, "checkout", "--quiet", "-b", "squire/x")
    (own / "dos.txt").write_bytes(b"one\r\n\tTWO \x1b[2J" + b"x" * 300 + b"\r\nthree\r\n")
    (own / "gone.txt").unlink()
    (own / 'f\u00fcnf "neu".txt').write_text("no line's end")
    (own / "picture.bin").write_bytes(bytes(range(256)))
    git(own, "add", "--all")
    git(own, "commit", "--quiet", "--message=after")
    head = git(own, "rev-parse", "HEAD")
    diff = pull_request_diff(own, {"merge_sha": None, "base": "mainline/2.x", "head_sha": head})
    assert diff.patch is not None
    git(own, "checkout", "--quiet", "mainline/2.x")
    write_line("what the demo writes around it")
    write_patch(diff.patch)
    write_line("done")
    printed = tmp_path / "printed"
    printed.write_bytes(capfdbinary.readouterr().out)
    git(own, "apply", "--index", str(printed))
    assert git(own, "write-tree") == git(own, "rev-parse", f"{head}^{{tree}}")


def test_a_difference_that_git_cannot_tell_is_an_error(own: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot be shown"):
        pull_request_diff(own, {"merge_sha": "f" * 40, "base": "main", "head_sha": ""})
