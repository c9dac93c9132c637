"""Has an agent's bundle verified, and its change and text judged, in child processes with limits.

The death of one is a problem of the bundle with a name.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.domain.change import Finding, JudgedTask, Verdict
from squire_pipelines.domain.leaks import judge_text
from squire_pipelines.domain.policy import Policy, judge
from squire_pipelines.errors import BundleError, JudgementError
from squire_pipelines.judgement import JudgementLimits, run_judgement
from squire_pipelines.publishing.bundle import VerifiedChange, verify_bundle
from squire_pipelines.publishing.conflict_marks import leftover_marks
from squire_pipelines.publishing.git import GitLimits
from squire_pipelines.publishing.git_merges import AutomaticMerge
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.sections.tasks import PublishingSettings

_CPU_S_AT_LEAST = 2
_CPU_S_PER_MIB = 4
"""An honest change takes up to 2.9 s for each MiB: `docs/performance.md`, The border."""


def judgement_limits(settings: PublishingSettings, size: int) -> JudgementLimits:
    """Return what the judgement of `size` bytes may take: as the settings say, and no more than so many bytes need.

    What is small and takes long was made to: it packs more than it is.
    """
    cpu_s = min(settings.judge_cpu_s, _CPU_S_AT_LEAST + _CPU_S_PER_MIB * size / 2**20)
    return JudgementLimits(memory=settings.judge_memory, cpu_s=math.ceil(cpu_s), wall_s=settings.judge_timeout_s)


def inspect_bundle(
    bundle: Path,
    mirror: Mirror,
    *,
    branch: str,
    base_sha: str,
    scratch: Path,
    settings: PublishingSettings | None = None,
    may_be_empty: bool = False,
) -> VerifiedChange:
    """Return what `verify_bundle` returns, which looks at the bundle in a child of its own.

    Raises:
        BundleError: `problem` says what is wrong: one of `BundleProblem`, or of `JudgementVerdict` when the child gave
            no answer.
        GitError: The mirror does not have the base, or git itself failed.
    """
    settings = settings or PublishingSettings()
    with _as_problem():
        return run_judgement(
            "the agent's bundle",
            judgement_limits(settings, bundle.stat().st_size if bundle.is_file() else 0),
            verify_bundle,
            bundle,
            mirror,
            branch=branch,
            base_sha=base_sha,
            scratch=scratch,
            settings=settings,
            may_be_empty=may_be_empty,
        )


def inspect_change(change: VerifiedChange, policy: Policy, task: JudgedTask, settings: PublishingSettings) -> Verdict:
    """Return what `judge` says of a change, which searches it in a child of its own.

    Raises:
        BundleError: `problem` is one of `JudgementVerdict`: the child gave no answer.
    """
    # The paths of the whole tree are looked at, too: a large repository has many.
    size = sum(len(piece.data) for piece in change.pieces) + sum(map(len, change.tree))
    with _as_problem():
        return run_judgement(
            "the agent's change",
            judgement_limits(settings, size),
            judge,
            change.files,
            policy,
            task=task,
            pieces=change.pieces,
            tree=change.tree,
            links=change.links,
        )


def inspect_text(text: str, task: JudgedTask, settings: PublishingSettings) -> Verdict:
    """Return what `judge_text` says of a pull request's text, which searches it in a child of its own.

    Raises:
        BundleError: `problem` is one of `JudgementVerdict`: the child gave no answer.
    """
    limits = judgement_limits(settings, len(text))
    with _as_problem():
        return run_judgement("the text of the pull request", limits, judge_text, text, task)


def inspect_merge(change: VerifiedChange, merge: AutomaticMerge, settings: PublishingSettings) -> tuple[Finding, ...]:
    """Return what `leftover_marks` finds in a resolved merge, in a child of its own.

    Raises:
        BundleError: `problem` is one of `JudgementVerdict`: the child gave no answer.
        GitError: The automatic merge is not there any more.
    """
    size = sum(file.bytes for file in change.files) + sum(map(len, change.tree))
    limits = GitLimits(timeout_s=settings.git_timeout_s, max_memory=settings.git_memory)
    with _as_problem():
        return run_judgement(
            "the resolved merge",
            judgement_limits(settings, size),
            leftover_marks,
            change.git_dir,
            change.head_sha,
            merge,
            change.files,
            limits,
        )


@contextlib.contextmanager
def _as_problem() -> Iterator[None]:
    try:
        yield
    except JudgementError as error:
        raise BundleError(
            error.message,
            problem=error.verdict,
            hint="make the change smaller, or raise publishing.judge_memory, judge_cpu_s or judge_timeout_s",
            context=error.context,
        ) from error
