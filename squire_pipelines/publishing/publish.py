"""From an agent's bundle to a pull request: verify, judge, push, open. Every step can be repeated after a crash.

The parts live beside; here is their order, and what a repetition finds done already.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from squire_pipelines.domain.policy import Decision, Policy, Verdict, judge
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import GitHubValidationError
from squire_pipelines.github.pulls import PullRequestRef
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.body import PullRequestText, SignalLink, pull_request_text
from squire_pipelines.publishing.bundle import BundleLimits, VerifiedChange, verify_bundle
from squire_pipelines.publishing.git import Remote
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.push import PUSH_TIMEOUT_S, push_head
from squire_pipelines.secrets import Secret
from squire_pipelines.settings import PolicySettings

_log = get_logger(Component.PUBLISHER)
NEEDS_APPROVAL_LABEL = "squire: needs approval"


class Step(StrEnum):
    """How far a publication has come. `pushing` is told before the push, so that the head can be recorded first."""

    VERIFIED = "verified"
    JUDGED = "judged"
    PUSHING = "pushing"
    PUSHED = "pushed"
    OPENED = "opened"
    DONE = "done"


OnStep = Callable[[Step, str], None]
"""Called after each step (before `pushing`) with the head's sha, the decision's name, or the pull request's URL."""


def _ignore(_step: Step, _detail: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What is to be published.

    Args:
        attempt_id: Whose work it is.
        task_id: Which task it answers.
        trace_id: The trace that all began with.
        repository: `owner/name`.
        clone_url: Where to push, without credentials.
        base_ref: The branch that the pull request goes into.
        base_sha: The commit that the agent was given.
        branch: The task's one branch.
        bundle: The file that the agent left.
        scratch: A folder where no agent can write; emptied first.
        spec: The task.
        signals: The facts that it answers, for the text.
        planner: Who planned it.
        agent: What did it.
        allowed_protected: Globs of protected paths that a person allowed for this task.
        earlier_heads: The heads that the ledger recorded at `Step.PUSHING` for earlier attempts of this task.
    """

    attempt_id: str
    task_id: str
    trace_id: str
    repository: str
    clone_url: str
    base_ref: str
    base_sha: str
    branch: str
    bundle: Path
    scratch: Path
    spec: TaskSpec
    signals: tuple[SignalLink, ...] = ()
    planner: str = "rules"
    agent: str = "command"
    allowed_protected: tuple[str, ...] = ()
    earlier_heads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Published:
    """The work is in a pull request. `created` is False when it was there already."""

    pull_request: PullRequestRef
    head_sha: str
    verdict: Verdict
    created: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The policy refused the change; nothing was pushed."""

    head_sha: str
    verdict: Verdict


def policy_from(settings: PolicySettings) -> Policy:
    """The policy that the settings describe."""
    return Policy(
        protected_paths=settings.protected_paths,
        max_files=settings.max_files,
        max_changed_lines=settings.max_changed_lines,
        max_bytes=settings.max_bytes,
        max_file_bytes=settings.max_file_bytes,
    )


async def publish_attempt(
    request: PublishRequest,
    *,
    mirror: Mirror,
    pulls: PullRequests,
    token: Secret | None,
    policy: Policy,
    limits: BundleLimits | None = None,
    known_secrets: Sequence[Secret] = (),
    on_step: OnStep = _ignore,
    timeout_s: float = PUSH_TIMEOUT_S,
) -> Published | Rejected:
    """Publish an attempt's work. Repeating it, after a crash at whatever step, ends in the same one pull request.

    Args:
        request: What is to be published.
        mirror: The repository's mirror, which has the base.
        pulls: Finds and opens pull requests.
        token: For the push.
        policy: What the change may be.
        limits: How large the bundle may be.
        known_secrets: Values that must appear in no added line; the token always counts.
        on_step: Told of each step; what it raises ends the publication.
        timeout_s: For each call of git to the other side.

    Raises:
        BundleError: The bundle is not what it must be.
        PublishRefusedError: The branch cannot be pushed; see `push`.
        GitHubError: GitHub cannot be reached, or refuses.
        GitError: Git failed otherwise.
    """
    remote = Remote.parse(request.clone_url, token)
    change = await asyncio.to_thread(
        verify_bundle,
        request.bundle,
        mirror,
        branch=request.branch,
        base_sha=request.base_sha,
        scratch=request.scratch,
        limits=limits,
    )
    on_step(Step.VERIFIED, change.head_sha)
    secrets = (*known_secrets, *([token] if token else []))
    verdict = await asyncio.to_thread(_judge, request, change, policy, secrets)
    on_step(Step.JUDGED, verdict.decision.name.lower())
    if verdict.decision is Decision.REJECT:
        _log.warning("change rejected", attempt_id=request.attempt_id, findings=[str(f) for f in verdict.findings[:20]])
        return Rejected(change.head_sha, verdict)
    existing = await pulls.find(request.repository, request.branch)
    # A pull request at our head, open or not, means that all was done before, and perhaps merged since.
    if existing is None or existing.head_sha != change.head_sha:
        on_step(Step.PUSHING, change.head_sha)
        await asyncio.to_thread(
            push_head,
            change.git_dir,
            remote,
            branch=request.branch,
            head_sha=change.head_sha,
            earlier_heads=request.earlier_heads,
            timeout_s=timeout_s,
        )
        on_step(Step.PUSHED, change.head_sha)
    text = _text(request, change, verdict)
    if existing and existing.head_sha == change.head_sha:
        pull, created = existing, False
    else:
        draft = verdict.decision is Decision.NEEDS_APPROVAL
        pull, created = await _open(request, pulls, existing, text, draft=draft)
    on_step(Step.OPENED, pull.url)
    if verdict.decision is Decision.NEEDS_APPROVAL and pull.state == "open":
        await pulls.add_labels(request.repository, pull.number, [NEEDS_APPROVAL_LABEL])
    on_step(Step.DONE, pull.url)
    return Published(pull, change.head_sha, verdict, created)


def _judge(request: PublishRequest, change: VerifiedChange, policy: Policy, secrets: Sequence[Secret]) -> Verdict:
    return judge(
        change.files,
        policy,
        allowed_protected=request.allowed_protected,
        known_secrets=[secret.reveal() for secret in secrets],
        history=change.history,
        messages=[(commit.sha, commit.message) for commit in change.commits],
    )


def _text(request: PublishRequest, change: VerifiedChange, verdict: Verdict) -> PullRequestText:
    return pull_request_text(
        request.spec,
        files=change.files,
        verdict=verdict,
        signals=request.signals,
        task_id=request.task_id,
        attempt_id=request.attempt_id,
        trace_id=request.trace_id,
        planner=request.planner,
        agent=request.agent,
    )


async def _open(
    request: PublishRequest, pulls: PullRequests, existing: PullRequestRef | None, text: PullRequestText, *, draft: bool
) -> tuple[PullRequestRef, bool]:
    """The open pull request of the branch, and whether it had to be made."""
    if existing and existing.state == "open":
        return await pulls.update(request.repository, existing.number, title=text.title, body=text.body), False

    async def create(*, draft: bool) -> PullRequestRef:
        return await pulls.create(
            request.repository,
            title=text.title,
            body=text.body,
            head=request.branch,
            base=request.base_ref,
            draft=draft,
        )

    try:
        return await create(draft=draft), True
    except GitHubValidationError as error:
        # Private repositories on GitHub's free plan have no drafts; the label still says what is needed.
        if not draft or "draft pull requests are not supported" not in error.message.lower():
            raise
        return await create(draft=False), True
