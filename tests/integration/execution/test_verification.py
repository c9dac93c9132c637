"""The repository's checks before a pull request is opened: real processes, real git, against a forge."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.agents import check_runs
from squire_pipelines.domain.change import Decision, VerdictRecord
from squire_pipelines.domain.tasks import Verification
from squire_pipelines.domain.verification import LeftOutCheck, ReportedCheck, VerificationReport
from squire_pipelines.execution import verification
from squire_pipelines.execution.verification import forget_setups
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.attempts import Attempt
from tests.support.pipeline import HANDBOOK, LEDGERLIB, Pipeline

CHANGE = ("sh", "-c", "echo more >> NOTES.md")
PASSES = f"{sys.executable} -c \\\"open('NOTES.md').read()\\\""


def use(pipeline: Pipeline, rules: str, command: tuple[str, ...] = CHANGE) -> None:
    pipeline.commands = {LEDGERLIB: command}
    pipeline.configure(f'[repository."{LEDGERLIB}".verification]\n{rules}\n')


def ours(forge: ForgeProcess) -> list[dict[str, Any]]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    return [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]


def verified(pipeline: Pipeline, **spec: Any) -> tuple[Attempt, VerificationReport]:
    attempt = pipeline.attempt(LEDGERLIB, **spec)
    pipeline.agent_run(attempt)
    row = pipeline.read_attempt(attempt.id)
    assert row.cause == "completed"
    return row, row.verification or VerificationReport(passed=False)


@pytest.mark.slow
def test_checks_that_pass_are_told_in_the_pull_request(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, f'tests = "{PASSES}"')
    _, report = verified(pipeline)
    assert report.passed
    (pull,) = ours(forge)
    assert not pull["draft"]
    assert "Run by Squire on the committed tree: passed." in pull["body"]


@pytest.mark.slow
def test_checks_that_fail_make_a_draft_that_says_why(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, 'tests = "echo 3 of 9 failed; exit 4"')
    row, report = verified(pipeline)
    assert report.checks == (ReportedCheck(name="tests", passed=False, detail="exit code 4: 3 of 9 failed"),)
    (pull,) = ours(forge)
    assert pull["draft"]
    assert "3 of 9 failed" in pull["body"]
    assert row.verdict == VerdictRecord(decision=Decision.ALLOW)


@pytest.mark.slow
def test_the_committed_tree_is_checked_and_not_what_the_agent_left_beside(pipeline: Pipeline) -> None:
    helped = ("sh", "-c", "echo help > ../left; echo help > ~/left; echo more >> NOTES.md")
    use(pipeline, 'tests = "test ! -e ../left && test ! -e ~/left"', helped)
    _, report = verified(pipeline)
    assert report.passed


@pytest.mark.slow
def test_a_check_that_hangs_is_ended(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, 'tests = "sleep 100"\ntimeout_s = 0.5')
    _, report = verified(pipeline)
    assert report.checks[0].detail.startswith("timed out after")
    assert ours(forge)[0]["draft"]


@pytest.mark.slow
def test_what_nobody_configured_is_said_where_other_checks_are_run(pipeline: Pipeline) -> None:
    use(pipeline, "")
    _, report = verified(pipeline, verification=Verification(run_tests=True, custom_checks=("true",)))
    assert report.passed
    assert report.message == "No command is configured for tests."


@pytest.mark.slow
def test_without_checks_nothing_is_verified(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, "")
    row, _ = verified(pipeline)
    assert row.verification is None
    assert not ours(forge)[0]["draft"]
    assert "Nothing was run by Squire itself" in ours(forge)[0]["body"]


@pytest.mark.slow
def test_verification_can_be_switched_off_which_the_pull_request_says(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, 'enabled = false\ntests = "false"')
    _, report = verified(pipeline)
    assert report == VerificationReport(passed=None, left_out=(LeftOutCheck(name="tests", by="off"),))
    (pull,) = ours(forge)
    assert not pull["draft"]
    assert "`tests` was left out: `verification.enabled` is false" in pull["body"]


SETUP = "mkdir -p node_modules; echo $(date +%s%N) > node_modules/made; echo made >> {log}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "setups.log"


@pytest.mark.slow
def test_dependencies_are_made_once_for_the_same_lockfiles(pipeline: Pipeline, log: Path) -> None:
    use(pipeline, f'setup = "{SETUP.format(log=log)}"\ntests = "cat node_modules/made"')
    assert verified(pipeline)[1].passed
    assert verified(pipeline)[1].passed
    assert log.read_text().splitlines() == ["made"]
    assert len(list(pipeline.settings.home.setups.iterdir())) == 1


@pytest.mark.slow
def test_a_change_of_a_lockfile_makes_its_own_and_they_are_not_kept(pipeline: Pipeline, log: Path) -> None:
    change = ("sh", "-c", "echo evil > requirements-extra.txt")
    use(pipeline, f'setup = "{SETUP.format(log=log)}"\ntests = "cat node_modules/made"', change)
    assert verified(pipeline)[1].passed
    assert log.read_text().splitlines() == ["made"]
    assert not pipeline.settings.home.setups.exists()


@pytest.mark.slow
def test_what_an_agent_wrote_is_not_in_the_dependencies_of_others(pipeline: Pipeline, log: Path) -> None:
    # In a commit of the agent's own, since what programs leave behind is no part of a change otherwise.
    add = "git add --force node_modules; git commit -qm evil; echo more >> NOTES.md"
    poison = ("sh", "-c", f"mkdir -p node_modules; echo evil > node_modules/evil; {add}")
    rules = f'setup = "{SETUP.format(log=log)}"\ntests = "test ! -e node_modules/evil"'
    use(pipeline, rules, poison)
    pipeline.attempt(LEDGERLIB)
    assert not verified(pipeline)[1].passed  # it is in that change, which is what its reviewers see
    use(pipeline, rules)
    assert verified(pipeline)[1].passed


@pytest.mark.slow
def test_another_repositorys_dependencies_are_never_used_also_with_equal_lockfiles(
    pipeline: Pipeline, log: Path
) -> None:
    names = (LEDGERLIB, HANDBOOK)
    pipeline.commands = dict.fromkeys(names, CHANGE)
    rules = f'setup = "{SETUP.format(log=log)}"\ntests = "cat node_modules/made"\nlockfiles = ["no-lockfile"]\n'
    pipeline.configure("".join(f'[repository."{name}".verification]\n{rules}' for name in names))
    for repository, base in zip(names, ("main", "trunk"), strict=True):
        attempt = pipeline.attempt(repository, base=base)
        pipeline.agent_run(attempt)
        report = pipeline.read_attempt(attempt.id).verification
        assert report is not None
        assert report.passed
    assert log.read_text().splitlines() == ["made", "made"]


SEES = "mkdir -p node_modules; echo ${{SQUIRE_EGRESS_REG:-none}} >> {log}"


def use_registry(pipeline: Pipeline, log: Path, command: tuple[str, ...] = CHANGE, more: str = "") -> None:
    """Let `setup` read a registry, and write down whether it may."""
    pipeline.commands = {LEDGERLIB: command}
    registry = '[gateway]\nallow_private = true\n[gateway.registries.reg]\nbase_url = "http://127.0.0.1:9/"\n'
    rules = f'setup = "{SEES.format(log=log)}"\ntests = "true"\negress = ["reg"]\n{more}\n'
    pipeline.configure(f'{registry}[repository."{LEDGERLIB}".verification]\n{rules}')


MANIFEST = ("sh", "-c", "echo https://evil.example/x > requirements-extra.txt")


@pytest.mark.slow
def test_the_setup_of_a_tree_whose_lockfiles_the_change_touches_reads_no_registry(
    pipeline: Pipeline, forge: ForgeProcess, log: Path
) -> None:
    use_registry(pipeline, log, MANIFEST)
    _, report = verified(pipeline)
    assert not log.exists()
    assert not report.passed
    assert report.message.startswith("Not verified because the change touches `requirements-extra.txt`")
    (pull,) = ours(forge)
    assert pull["draft"]
    assert "Not verified because the change touches" in pull["body"]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "more"), [(CHANGE, ""), (MANIFEST, "changed_setup_egress = true")])
def test_a_registry_is_read_for_a_reviewed_tree_and_where_the_settings_allow_it(
    pipeline: Pipeline, log: Path, command: tuple[str, ...], more: str
) -> None:
    use_registry(pipeline, log, command, more)
    assert verified(pipeline)[1].passed
    assert log.read_text().startswith("http://127.0.0.1:")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "reads"), [(CHANGE, True), (MANIFEST, False)])
def test_what_continues_a_pull_request_is_set_up_on_what_people_merged(
    pipeline: Pipeline, log: Path, first: tuple[str, ...], *, reads: bool
) -> None:
    use_registry(pipeline, log, first, "kept_setups = 0")
    row, _ = verified(pipeline, signals=())
    log.unlink(missing_ok=True)
    use_registry(pipeline, log, ("sh", "-c", "echo two >> NOTES.md"))
    branch = pipeline.read_task(row.task_id).branch
    _, report = verified(pipeline, base=branch, title="More", prompt="More.", signals=())
    assert report.passed is reads
    assert log.exists() is reads


@pytest.mark.slow
def test_a_setup_that_fails_is_told(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, 'setup = "echo no such package; exit 1"\ntests = "true"')
    _, report = verified(pipeline)
    assert report.checks[0] == ReportedCheck(name="setup", passed=False, detail="exit code 1: no such package")
    assert report.checks[1].detail == "not run"
    assert ours(forge)[0]["draft"]


@pytest.mark.slow
def test_a_cancelled_verification_cancels_the_attempt(pipeline: Pipeline, forge: ForgeProcess, log: Path) -> None:
    use(pipeline, f'tests = "echo here > {log}; sleep 100"')
    attempt = pipeline.attempt(LEDGERLIB)

    def cancel() -> None:
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with pipeline.ledger.write() as tx:
            tasks.cancel(tx, attempt.task_id, actor="me")

    watcher = threading.Thread(target=cancel)
    watcher.start()
    pipeline.agent_run(attempt, fails=True)
    watcher.join()
    assert pipeline.read_attempt(attempt.id).cause == "cancelled"
    assert ours(forge) == []


@pytest.mark.parametrize("keep", [0, 1, 3, 4])
def test_only_so_many_sets_of_dependencies_are_kept_and_those_are_the_last_used(pipeline: Pipeline, keep: int) -> None:
    home = pipeline.settings.home
    assert forget_setups(home, keep=keep) == 0
    home.setups.mkdir(parents=True)
    for number in range(4):
        path = home.setups / f"{number}.tar"
        path.touch()
        os.utime(path, (number, number))
    assert forget_setups(home, keep=keep) == 4 - keep
    assert {path.stem for path in home.setups.iterdir()} == {str(number) for number in range(4 - keep, 4)}


@pytest.mark.slow
def test_none_is_kept_where_the_settings_say_so_and_yet_the_checks_have_one(pipeline: Pipeline, log: Path) -> None:
    use(pipeline, f'setup = "{SETUP.format(log=log)}"\ntests = "cat node_modules/made"\nkept_setups = 0')
    for _ in range(2):
        assert verified(pipeline)[1].passed
        assert list(pipeline.settings.home.setups.iterdir()) == []
    assert log.read_text().splitlines() == ["made", "made"]


@pytest.mark.slow
def test_dependencies_that_another_attempt_forgets_meanwhile_are_there_for_the_checks(
    pipeline: Pipeline, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(pipeline, f'setup = "{SETUP.format(log=log)}"\ntests = "cat node_modules/made"')
    assert verified(pipeline)[1].passed

    def run_checks(*args: Any, **options: Any) -> Any:
        assert forget_setups(pipeline.settings.home, keep=0) == 1
        return check_runs.run_checks(*args, **options)

    monkeypatch.setattr(verification, "run_checks", run_checks)
    assert verified(pipeline)[1].passed
    assert log.read_text().splitlines() == ["made"]
