"""The samples are real repositories with real defects, and their programs fix them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from squire_forge.samples import SampleRepository, build_samples

DEFECTIVE = ("ledgerlib", "webshop", "handbook")


def _tree(sample: SampleRepository, at: Path) -> Path:
    branch = sample.defect_branch or sample.default_branch
    subprocess.run(["git", "clone", "--quiet", "--branch", branch, sample.path, at], check=True)
    return at


def _run(command: tuple[str, ...], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _named(samples: tuple[SampleRepository, ...], name: str) -> SampleRepository:
    return next(sample for sample in samples if sample.name == name)


@pytest.fixture
def task_file(tmp_path: Path) -> str:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"id": "t1", "title": "Fix it", "prompt": "…"}))
    return str(path)


@pytest.mark.parametrize("name", DEFECTIVE)
def test_the_program_fixes_what_the_samples_own_tests_fail_on(
    name: str, samples: tuple[SampleRepository, ...], tmp_path: Path, task_file: str
) -> None:
    sample = _named(samples, name)
    tree = _tree(sample, tmp_path / "tree")
    assert _run(sample.test_command, tree).returncode != 0
    fixed = _run(sample.agent_command, tree, SQUIRE_TASK_FILE=task_file)
    assert fixed.returncode == 0, fixed.stderr
    after = _run(sample.test_command, tree)
    assert after.returncode == 0, after.stderr
    changed = _run(("git", "status", "--porcelain"), tree).stdout
    assert changed
    assert "Fix it" in fixed.stdout
    # A second run has nothing left to do.
    _run(("git", "commit", "--quiet", "--all", "-m", "fix"), tree, **dict.fromkeys(_IDENTITY, "x@y.invalid"))
    assert "nothing to fix" in _run(sample.agent_command, tree, SQUIRE_TASK_FILE=task_file).stdout
    assert _run(("git", "status", "--porcelain"), tree).stdout == ""


_IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("node") is None and os.environ.get("SQUIRE_TEST_NO_SKIP") != "1", reason="node is not installed"
)
def test_the_webshops_own_javascript_tests_agree(
    samples: tuple[SampleRepository, ...], tmp_path: Path, task_file: str
) -> None:
    sample = _named(samples, "webshop")
    tree = _tree(sample, tmp_path / "tree")
    assert _run(("node", "--test"), tree).returncode != 0
    _run(sample.agent_command, tree, SQUIRE_TASK_FILE=task_file)
    assert _run(("node", "--test"), tree).returncode == 0


def test_the_quiet_one_has_nothing_to_do(samples: tuple[SampleRepository, ...], tmp_path: Path, task_file: str) -> None:
    sample = _named(samples, "quiet")
    tree = _tree(sample, tmp_path / "tree")
    assert _run(sample.test_command, tree).returncode == 0
    assert "nothing to fix" in _run(sample.agent_command, tree, SQUIRE_TASK_FILE=task_file).stdout


def test_a_program_without_a_task_says_so(samples: tuple[SampleRepository, ...], tmp_path: Path) -> None:
    done = _run(("python3", "tools/fix.py"), _tree(_named(samples, "quiet"), tmp_path / "tree"))
    assert done.returncode == 2
    assert "SQUIRE_TASK_FILE" in done.stderr


def test_commits_are_the_same_wherever_they_are_made(
    samples: tuple[SampleRepository, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    again = build_samples(tmp_path)

    def heads(sample: SampleRepository) -> str:
        return _run(("git", "for-each-ref", "refs/heads"), sample.path).stdout

    assert [heads(sample) for sample in again] == [heads(sample) for sample in samples]
    assert all((sample.path / ".gitignore").is_file() for sample in again)
    assert all(len(_run(("git", "log", "--format=%h"), sample.path).stdout.split()) > 1 for sample in again)


def test_building_twice_leaves_what_is_there(tmp_path: Path) -> None:
    first = build_samples(tmp_path)
    marker = first[0].path / "marker"
    marker.write_text("mine")
    assert build_samples(tmp_path) == first
    assert marker.exists()
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["handbook", "ledgerlib", "quiet", "webshop"]


def test_hosting_says_what_each_sample_is(samples: tuple[SampleRepository, ...]) -> None:
    assert [sample.full_name for sample in samples] == ["demo/ledgerlib", "demo/webshop", "demo/handbook", "demo/quiet"]
    assert _named(samples, "handbook").hosting()["default_branch"] == "trunk"
    (pull,) = _named(samples, "webshop").pull_requests
    assert pull["head"] == _named(samples, "webshop").defect_branch
