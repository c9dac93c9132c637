"""Has an agent's bundle verified in a child process with limits, whose death is a problem of the bundle with a name."""

import math
from pathlib import Path

from squire_pipelines.errors import BundleError, JudgementError
from squire_pipelines.judgement import JudgementLimits, run_judgement
from squire_pipelines.publishing.bundle import VerifiedChange, verify_bundle
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.sections import PublishingSettings


def judgement_limits(settings: PublishingSettings) -> JudgementLimits:
    """Return what the judgement of one bundle may take, as the settings say."""
    return JudgementLimits(
        memory=settings.judge_memory, cpu_s=math.ceil(settings.judge_cpu_s), wall_s=settings.judge_timeout_s
    )


def inspect_bundle(
    bundle: Path,
    mirror: Mirror,
    *,
    branch: str,
    base_sha: str,
    scratch: Path,
    settings: PublishingSettings | None = None,
) -> VerifiedChange:
    """Return what `verify_bundle` returns, which looks at the bundle in a child of its own.

    Raises:
        BundleError: `problem` says what is wrong: one of `BundleProblem`, or of `JudgementVerdict` when the child gave
            no answer.
        GitError: The mirror does not have the base, or git itself failed.
    """
    settings = settings or PublishingSettings()
    try:
        return run_judgement(
            "the agent's bundle",
            judgement_limits(settings),
            verify_bundle,
            bundle,
            mirror,
            branch=branch,
            base_sha=base_sha,
            scratch=scratch,
            settings=settings,
        )
    except JudgementError as error:
        raise BundleError(
            error.message,
            problem=error.verdict,
            hint="make the change smaller, or raise publishing.judge_memory, judge_cpu_s or judge_timeout_s",
            context=error.context,
        ) from error
