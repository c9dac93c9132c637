"""Takes an agent's bundle to a pull request: verify, judge, commit, push, open. Every step can be repeated.

The steps are modules of their own; here is their order, and what a repetition finds done already.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from squire_pipelines.domain.change import Decision, JudgedTask, Verdict
from squire_pipelines.domain.policy import WORKFLOWS, Policy
from squire_pipelines.domain.title_styles import CONVENTIONAL_TITLES, PLAIN_TITLES
from squire_pipelines.errors import GitHubError, GitHubPermissionError, GitHubValidationError, PublishRefusedError
from squire_pipelines.github.pulls import PullRequestRef, is_without_drafts
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.body import PullRequestText, pull_request_text, with_follow_up
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.commit import commit_change
from squire_pipelines.publishing.inspection import inspect_bundle, inspect_change, inspect_text
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.own_style import with_own_style
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.push import push_head
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.publishing.request import PublishRequest, TextStyle
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings

_log = get_logger(Component.PUBLISHER)
_TITLES = {"plain": PLAIN_TITLES, "conventional": CONVENTIONAL_TITLES, None: None}


class PublicationStep(StrEnum):
    """How far a publication has come. `pushing` comes before the push, so that the head can be recorded first."""

    VERIFIED = "verified"
    JUDGED = "judged"
    PUSHING = "pushing"
    PUSHED = "pushed"
    OPENED = "opened"
    LABELLED = "labelled"
    DONE = "done"


OnStep = Callable[[PublicationStep, str], None]
"""Called after each step (before `pushing`) with the head's sha, the decision's name, or the pull request's URL.

The head of `verified` is the agent's, that of the others the published commit's.
"""


def _ignore(_step: PublicationStep, _detail: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Published:
    """The work is in a pull request, at our commit `head_sha`. `created` is False when it was there already."""

    pull_request: PullRequestRef
    head_sha: str
    verdict: Verdict
    created: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The policy refused the change, which is the agent's `head_sha`; nothing was pushed."""

    head_sha: str
    verdict: Verdict


def policy_from(settings: PolicySettings) -> Policy:
    """Return the policy that the settings describe."""
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
        binary_paths=settings.binary_paths,
    )


def style_from(settings: PublishingSettings) -> TextStyle:
    """Return how the settings have pull requests' texts look."""
    return TextStyle(
        titles=_TITLES[settings.title_convention],
        title=settings.title_template or "{title}",
        body=settings.body_template or "{body}",
        is_signed_off=settings.sign_off,
        template=None if settings.fill_template and settings.body_template is None else "",
        commit=settings.commit_template or "{title}",
    )


async def publish_change(
    request: PublishRequest,
    *,
    mirror: Mirror,
    pulls: PullRequests,
    token: Secret | None,
    policy: Policy,
    settings: PublishingSettings | None = None,
    known_secrets: Sequence[Secret] = (),
    on_step: OnStep = _ignore,
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
        on_step: Called at each step; what it raises ends the publication.

    Raises:
        BundleError: The bundle is not what it must be.
        PublishRefusedError: The branch cannot be pushed, see `push`; or GitHub refuses the pull request.
        GitHubError: GitHub cannot be reached, or does not know us.
        GitError: Git failed otherwise.
    """
    settings = settings or PublishingSettings()
    remote = Remote.parse(request.clone_url, token)
    change = await asyncio.to_thread(
        inspect_bundle,
        request.bundle,
        mirror,
        branch=request.branch,
        base_sha=request.base_sha,
        scratch=request.scratch,
        settings=settings,
    )
    on_step(PublicationStep.VERIFIED, change.head_sha)
    request = await asyncio.to_thread(with_own_style, request, change)
    secrets = (*known_secrets, *([token] if token else []))
    verdict, text = await asyncio.to_thread(_judge, request, change, policy, secrets, settings)
    on_step(PublicationStep.JUDGED, verdict.decision)
    if verdict.decision is Decision.REJECT:
        _log.warning("change rejected", attempt_id=request.attempt_id, findings=[str(f) for f in verdict.findings[:20]])
        return Rejected(change.head_sha, verdict)
    head_sha = await asyncio.to_thread(commit_change, change, request)
    existing = await pulls.find(request.repository, request.target)
    # A pull request at our head, open or not, means that all was done before, and perhaps merged since.
    if existing is None or existing.head_sha != head_sha:
        if request.follow_up is not None and (existing is None or existing.state != "open"):
            raise _no_pull_request(request, existing)
        on_step(PublicationStep.PUSHING, head_sha)
        await asyncio.to_thread(
            push_head,
            change.git_dir,
            remote,
            branch=request.target,
            head_sha=head_sha,
            # A follow-up adds to what people have seen: it replaces nothing, not even our own earlier try.
            earlier_heads=frozenset() if request.follow_up else request.earlier_heads,
        )
        on_step(PublicationStep.PUSHED, head_sha)
    needs_approval = verdict.decision is Decision.NEEDS_APPROVAL
    draft = needs_approval or _is_draft(request, settings)
    with _refusals(request.repository):
        pull, created = await _open(request, pulls, existing, text, head_sha, draft=draft)
        on_step(PublicationStep.OPENED, pull.url)
        labels = [*settings.labels, *([settings.label] if needs_approval else [])]
        if pull.state == "open" and labels and (needs_approval or request.follow_up is None):
            await pulls.add_labels(request.repository, pull.number, labels)
        if created:
            await _ask_for_reviews(pulls, request.repository, pull.number, settings.reviewers)
        if needs_approval and pull.state == "open":
            on_step(PublicationStep.LABELLED, pull.url)
            if not pull.draft:
                await pulls.set_draft(request.repository, pull.number, draft=True)
    on_step(PublicationStep.DONE, pull.url)
    return Published(pull, head_sha, verdict, created)


async def _ask_for_reviews(pulls: PullRequests, repository: str, number: int, reviewers: Sequence[str]) -> None:
    """Ask people for reviews. One whom GitHub refuses is no reason to lose the work: it is logged."""
    if not reviewers:
        return
    try:
        await pulls.request_reviewers(repository, number, reviewers)
    except GitHubError as error:
        _log.warning("nobody was asked for a review", number=number, reviewers=list(reviewers), reason=str(error))


def _is_draft(request: PublishRequest, settings: PublishingSettings) -> bool:
    if request.verification is not None and not request.verification.passed:
        return True
    return settings.draft == "always" or (settings.draft == "untrusted" and not request.trusted)


def _no_pull_request(request: PublishRequest, existing: PullRequestRef | None) -> PublishRefusedError:
    reason = f"#{existing.number} is {existing.state}" if existing else "there is no pull request any more"
    return PublishRefusedError(
        f"the work cannot be added to {request.target}: {reason}",
        reason="no_pull_request",
        hint="create a new task for it",
        context={"branch": request.target},
    )


def _judge(
    request: PublishRequest,
    change: VerifiedChange,
    policy: Policy,
    secrets: Sequence[Secret],
    settings: PublishingSettings,
) -> tuple[Verdict, PullRequestText]:
    task = JudgedTask(
        attempt_id=request.attempt_id,
        asked_paths=request.spec.allow_protected,
        known_secrets=tuple(secret.reveal() for secret in secrets),
    )
    verdict = inspect_change(change, policy, task, settings)
    # Known secrets and what looks like one are hidden first: the text quotes strangers, who may have leaked their own.
    redactor = Redactor(secrets)
    subjects = [commit.message.strip().partition("\n")[0] for commit in reversed(change.commits)]

    def written(request: PublishRequest) -> tuple[PullRequestText, Verdict]:
        text = pull_request_text(request, change.files, verdict, subjects=subjects)
        text = PullRequestText(redactor.redact(text.title), redactor.redact(text.body))
        return text, inspect_text(f"{text.title}\n{text.body}", task, settings)

    text, text_verdict = written(request)
    if text_verdict.findings and request.words:
        # What an agent says of its work is worth less than the work.
        note = f"What the agent said is left out: {text_verdict.findings[0].message}."
        request = replace(request, words="", notes=(*request.notes, note))
        text, text_verdict = written(request)
    if text_verdict.findings and request.style.template:
        note = f"The repository's template is left out: {text_verdict.findings[0].message}."
        style = replace(request.style, template="")
        text, text_verdict = written(replace(request, style=style, notes=(*request.notes, note)))
    return Verdict.of((*verdict.findings, *text_verdict.findings)), text


@contextlib.contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Raise GitHub's refusal of a pull request as PublishRefusedError. The branch is there by then."""
    try:
        yield
    except (GitHubPermissionError, GitHubValidationError) as error:
        if "archived" in error.message.lower():
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
    """Return the pull request of the branch, and whether it had to be created."""
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
