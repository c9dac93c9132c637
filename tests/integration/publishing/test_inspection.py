"""An agent's bundle against the host that judges it: its memory, its processor and its time."""

import base64
import bz2
import contextlib
import random
import resource
from pathlib import Path

import pytest

from squire_pipelines.domain.change import NO_TASK, JudgedTask
from squire_pipelines.domain.leaks import judge_text
from squire_pipelines.domain.policy import judge
from squire_pipelines.errors import BundleError
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.inspection import inspect_bundle, inspect_change, inspect_text, judgement_limits
from squire_pipelines.publishing.publish_change import policy_from
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings
from tests.support.workshop import Workshop, bounds

MANY = 12_000_000
POLICY = policy_from(PolicySettings())
NO_COUNT = {"max_lines": 10**9}


def inspect(workshop: Workshop, bundle: Path, settings: PublishingSettings | None = None) -> VerifiedChange:
    return inspect_bundle(
        bundle,
        workshop.mirror,
        branch=workshop.branch,
        base_sha=workshop.base_sha,
        scratch=workshop.root / "scratch",
        settings=settings,
    )


def problem_of(workshop: Workshop, settings: PublishingSettings | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        inspect(workshop, workshop.bundle(), settings)
    return caught.value.problem


def commit_lines(workshop: Workshop, lines: int, *, commits: int = 1) -> None:
    """Commit a file of empty lines, and take it away again in every second commit."""
    for number in range(commits):
        workshop.agent.write("lines.txt", "\n" * lines if number % 2 == 0 else "")
        workshop.agent.commit()


def test_ordinary_change_is_the_same_in_a_child(workshop: Workshop) -> None:
    workshop.agent.write("src/app.py", "def add(a, b):\n    return a + b\n")
    workshop.agent.commit("Fix add")
    assert inspect(workshop, workshop.bundle()) == workshop.verify()


def test_problem_that_the_child_finds_has_its_name(workshop: Workshop) -> None:
    (workshop.root / "none").write_bytes(b"this is no bundle")
    with pytest.raises(BundleError) as caught:
        inspect(workshop, workshop.root / "none")
    assert caught.value.problem == "unreadable"


@pytest.mark.slow
@pytest.mark.parametrize("commits", [1, 19])
def test_millions_of_empty_lines_cost_the_host_next_to_nothing(workshop: Workshop, commits: int) -> None:
    commit_lines(workshop, MANY // commits, commits=commits)
    assert workshop.bundle().stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert problem_of(workshop) == "too_large"
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert own.ru_maxrss - before[0].ru_maxrss < 20 * 1024
    assert own.ru_utime - before[0].ru_utime + children.ru_utime - before[1].ru_utime < 5


@pytest.mark.slow
def test_what_is_not_counted_ends_at_the_childs_memory(workshop: Workshop) -> None:
    # What does not compress gives the child the seconds that a slow machine needs to reach its memory.
    workshop.agent.write("noise", random.Random(1).randbytes(4 * 2**20))  # noqa: S311 - no secret
    commit_lines(workshop, MANY)
    assert problem_of(workshop, bounds(judge_memory=512 * 2**20, **NO_COUNT)) == "too_much_memory"


@pytest.mark.slow
def test_git_and_the_child_share_one_budget_of_processor(workshop: Workshop) -> None:
    commit_lines(workshop, MANY)
    with pytest.raises(BundleError, match=r"takes longer to (judge|look at) than it may|takes longer than"):
        inspect(workshop, workshop.bundle(), bounds(judge_cpu_s=1, judge_memory=4 * 2**30, **NO_COUNT))


def test_child_that_takes_too_long_is_ended(workshop: Workshop) -> None:
    commit_lines(workshop, 1)
    assert problem_of(workshop, bounds(judge_timeout_s=0.01)) == "too_much_time"


@pytest.mark.slow
def test_search_that_takes_too_long_is_a_problem_of_the_bundle(workshop: Workshop) -> None:
    workshop.agent.write("data.txt", "".join(f"{number:x} '" for number in range(8_000)))
    workshop.agent.commit()
    change = workshop.verify()
    assert inspect_change(change, POLICY, NO_TASK, PublishingSettings()) == judge(
        change.files, POLICY, pieces=change.pieces
    )
    with pytest.raises(BundleError) as caught:
        inspect_change(change, POLICY, NO_TASK, bounds(judge_timeout_s=0.01))
    assert caught.value.problem == "too_much_time"


@pytest.mark.parametrize(("mebibytes", "seconds"), [(0, 2), (0.5, 4), (4, 18), (100, 20)])
def test_what_is_small_may_take_little_of_the_processor(mebibytes: float, seconds: int) -> None:
    limits = judgement_limits(PublishingSettings(), int(mebibytes * 2**20))
    assert (limits.cpu_s, limits.wall_s) == (seconds, 120)


@pytest.mark.slow
def test_an_attempt_that_packs_much_into_little_costs_the_host_seconds(workshop: Workshop) -> None:
    packed = [base64.b64encode(bz2.compress(bytes([65 + n]) * 31 * 2**20)).decode() for n in range(20)]
    workshop.agent.write("data.py", "\n".join(f'DATA = "{line}"' for line in packed))
    workshop.agent.commit()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    change = inspect(workshop, workshop.bundle(), PublishingSettings())
    with contextlib.suppress(BundleError):  # what is searched in time is as good: only the cost counts here
        inspect_change(change, POLICY, NO_TASK, PublishingSettings())
    with contextlib.suppress(BundleError):
        inspect_text("\n".join(packed), NO_TASK, PublishingSettings())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_utime + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert after - before < 3 * 2 + 1


def test_a_pull_requests_text_is_judged_in_a_child_alike() -> None:
    task = JudgedTask(attempt_id="a", known_secrets=("correct horse battery staple",))
    for text in ("Fix add\n\nAn ordinary text.", "it is correct horse battery staple"):
        assert inspect_text(text, task, PublishingSettings()) == judge_text(text, task)


@pytest.mark.slow
def test_a_text_that_packs_megabytes_costs_the_host_nothing_and_has_a_name() -> None:
    packed = [base64.b64encode(bz2.compress(sign * 31 * 2**20)).decode() for sign in (b"A", b"B", b"C")]
    text = "\n".join(f"- tests failed: {line}" for line in packed)
    assert len(text) < 1_000
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(BundleError, match="the text of the pull request") as caught:
        inspect_text(text, NO_TASK, bounds(judge_cpu_s=1))
    own = resource.getrusage(resource.RUSAGE_SELF)
    assert caught.value.problem in {"too_much_time", "too_much_memory"}
    assert own.ru_utime - before.ru_utime < 1
    assert own.ru_maxrss - before.ru_maxrss < 20 * 1024
