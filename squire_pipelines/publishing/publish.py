"""From an agent's bundle to a pull request: verify, judge, push, open. Every step can be repeated after a crash.

The parts live beside; here is their order, and what a repetition finds done already.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from squire_pipelines.domain.change import CommitText, Decision, JudgedTask, Verdict, merged
from squire_pipelines.domain.leaks import judge_text
from squire_pipelines.domain.policy import WORKFLOWS, Policy, judge
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import GitHubPermissionError, GitHubValidationError, PublishRefusedError
from squire_pipelines.github.pulls import PullRequestRef, is_without_drafts
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.body import (
    NO_COST,
    Cost,
    PullRequestText,
    SignalLink,
    VerificationReport,
    pull_request_text,
    with_follow_up,
)
from squire_pipelines.publishing.bundle import BundleLimits, VerifiedChange, verify_bundle
from squire_pipelines.publishing.git import Remote
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.push import PUSH_TIMEOUT_S, push_head
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.sections import PolicySettings, PublishingSettings

_log = get_logger(Component.PUBLISHER)


class Step(StrEnum):
    """How far a publication has come. `pushing` is told before the push, so that the head can be recorded first."""

    VERIFIED = "verified"
    JUDGED = "judged"
    PUSHING = "pushing"
    PUSHED = "pushed"
    OPENED = "opened"
    LABELLED = "labelled"
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
        spec: The task, with the protected paths that it asks for.
        signals: The facts that it answers, for the text.
        planner: Who planned it.
        agent: What did it.
        earlier_heads: The heads that the ledger recorded at `Step.PUSHING` for earlier attempts of this task.
        follow_up: The branch of an own pull request that the work is added to; `branch` then names only what the
            bundle holds. None opens a pull request for `branch`.
        trusted: Whether the task was ready at once; one that was only proposed becomes a draft, see the settings.
        verification: What came of the checks that were run before; None when none were.
        cost: What the attempt used.
        bot_email: The identity that the commits must have; None permits any.
        notes: What a reviewer should know of the workspace, such as submodules that were not there.
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
    earlier_heads: frozenset[str] = frozenset()
    follow_up: str | None = None
    trusted: bool = True
    verification: VerificationReport | None = None
    cost: Cost = NO_COST
    bot_email: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The branch that is pushed to, whose pull request it becomes."""
        return self.follow_up or self.branch


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
        allowed_paths=settings.allowed_paths,
        protected_paths=settings.protected_paths,
        forbidden_paths=WORKFLOWS if settings.workflows == "reject" else (),
        hold_unasked=settings.protected == "approve",
        max_files=settings.max_files,
        max_changed_lines=settings.max_changed_lines,
        max_bytes=settings.max_bytes,
        max_file_bytes=settings.max_file_bytes,
        max_binary_bytes=settings.max_binary_bytes,
    )


def limits_from(settings: PublishingSettings) -> BundleLimits:
    """The bounds on a bundle that the settings describe."""
    return BundleLimits(
        max_bytes=settings.max_bundle,
        max_objects=settings.max_objects,
        max_object_bytes=settings.max_object,
        max_unpacked_bytes=settings.max_unpacked,
        max_commits=settings.max_commits,
        max_patch_bytes=settings.max_patch,
        timeout_s=settings.git_timeout_s,
        max_memory=settings.git_memory,
    )


async def publish_attempt(
    request: PublishRequest,
    *,
    mirror: Mirror,
    pulls: PullRequests,
    token: Secret | None,
    policy: Policy,
    settings: PublishingSettings | None = None,
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
        settings: How large the bundle may be, and what becomes a draft.
        known_secrets: Values that must be published in no form; the token always counts.
        on_step: Told of each step; what it raises ends the publication.
        timeout_s: For each call of git to the other side.

    Raises:
        BundleError: The bundle is not what it must be.
        PublishRefusedError: The branch cannot be pushed, see `push`; or GitHub refuses the pull request.
        GitHubError: GitHub cannot be reached, or does not know us.
        GitError: Git failed otherwise.
    """
    settings = settings or PublishingSettings()
    remote = Remote.parse(request.clone_url, token)
    change = await asyncio.to_thread(
        verify_bundle,
        request.bundle,
        mirror,
        branch=request.branch,
        base_sha=request.base_sha,
        scratch=request.scratch,
        limits=limits_from(settings),
    )
    on_step(Step.VERIFIED, change.head_sha)
    secrets = (*known_secrets, *([token] if token else []))
    verdict, text = await asyncio.to_thread(_judge, request, change, policy, secrets)
    on_step(Step.JUDGED, verdict.decision.name.lower())
    if verdict.decision is Decision.REJECT:
        _log.warning("change rejected", attempt_id=request.attempt_id, findings=[str(f) for f in verdict.findings[:20]])
        return Rejected(change.head_sha, verdict)
    existing = await pulls.find(request.repository, request.target)
    # A pull request at our head, open or not, means that all was done before, and perhaps merged since.
    if existing is None or existing.head_sha != change.head_sha:
        if request.follow_up is not None and (existing is None or existing.state != "open"):
            raise _no_pull_request(request, existing)
        on_step(Step.PUSHING, change.head_sha)
        await asyncio.to_thread(
            push_head,
            change.git_dir,
            remote,
            branch=request.target,
            head_sha=change.head_sha,
            # A follow-up adds to what people have seen: it replaces nothing, not even our own earlier try.
            earlier_heads=frozenset() if request.follow_up else request.earlier_heads,
            timeout_s=timeout_s,
        )
        on_step(Step.PUSHED, change.head_sha)
    held = verdict.decision is Decision.NEEDS_APPROVAL
    draft = held or _is_draft(request, settings)
    with _refusals(request.repository):
        pull, created = await _open(request, pulls, existing, text, change.head_sha, draft=draft)
        on_step(Step.OPENED, pull.url)
        if held and pull.state == "open":
            await pulls.add_labels(request.repository, pull.number, [settings.label])
            on_step(Step.LABELLED, pull.url)
            if not pull.draft:
                await pulls.set_draft(request.repository, pull.number, draft=True)
    on_step(Step.DONE, pull.url)
    return Published(pull, change.head_sha, verdict, created)


def _is_draft(request: PublishRequest, settings: PublishingSettings) -> bool:
    if request.verification is not None and not request.verification.passed:
        return True
    return settings.draft == "always" or (settings.draft == "untrusted" and not request.trusted)


def _no_pull_request(request: PublishRequest, existing: PullRequestRef | None) -> PublishRefusedError:
    what = f"#{existing.number} is {existing.state}" if existing else "there is no pull request any more"
    return PublishRefusedError(
        f"the work cannot be added to {request.target}: {what}",
        reason="no_pull_request",
        hint="make a new task of it",
        context={"branch": request.target},
    )


def _judge(
    request: PublishRequest, change: VerifiedChange, policy: Policy, secrets: Sequence[Secret]
) -> tuple[Verdict, PullRequestText]:
    task = JudgedTask(
        attempt_id=request.attempt_id,
        asked_paths=request.spec.allow_protected,
        known_secrets=tuple(secret.reveal() for secret in secrets),
        bot_email=request.bot_email,
        issues=_issues(request.spec),
    )
    verdict = judge(
        change.files,
        policy,
        task=task,
        history=change.history,
        commits=[CommitText(each.sha, each.message, each.identities, each.raw) for each in change.commits],
    )
    # Known secrets and what looks like one are hidden first: the text quotes strangers, who may have leaked their own.
    redactor = Redactor(secrets)
    text = _text(request, change, verdict)
    text = PullRequestText(redactor.redact(text.title), redactor.redact(text.body))
    said = judge_text(f"{text.title}\n{text.body}", task)
    return merged(verdict, said), text


def _issues(spec: TaskSpec) -> frozenset[int]:
    prefix = f"{SignalKind.OPEN_ISSUE}:"
    keys = (ref.removeprefix(prefix) for ref in spec.signals if ref.startswith(prefix))
    return frozenset(int(key) for key in keys if key.isascii() and key.isdigit())


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
        verification=request.verification,
        cost=request.cost,
        notes=request.notes,
    )


@contextlib.contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """GitHub's refusals of a pull request, by what they mean for the task. The branch is there by then."""
    try:
        yield
    except (GitHubPermissionError, GitHubValidationError) as error:
        said = error.message.lower()
        if "archived" in said:
            reason, hint = "archived", "unarchive it, or take it out of `repositories`"
        elif isinstance(error, GitHubPermissionError):
            reason, hint = "permission", error.hint
        else:
            reason, hint = "validation", "the branch is pushed; open the pull request by hand, or retry the task"
        raise PublishRefusedError(
            f"GitHub refuses the pull request in {repository}: {error.message}",
            reason=reason,
            hint=hint,
            context=error.context,
        ) from error


async def _open(
    request: PublishRequest,
    pulls: PullRequests,
    existing: PullRequestRef | None,
    text: PullRequestText,
    head_sha: str,
    *,
    draft: bool,
) -> tuple[PullRequestRef, bool]:
    """The pull request of the branch, and whether it had to be made."""
    if existing is not None and request.follow_up is not None:
        body = with_follow_up(existing.body, text, task_id=request.task_id)
        if existing.state == "open" and body != existing.body:
            existing = await pulls.update(request.repository, existing.number, title=existing.title, body=body)
        return existing, False
    if existing and existing.head_sha == head_sha:
        return existing, False
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
        if not draft or not is_without_drafts(error):
            raise
        return await create(draft=False), True
