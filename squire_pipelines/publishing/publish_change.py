"""Takes an agent's bundle to a pull request: verify, judge, commit, push, open. Every step can be repeated.

The steps are modules of their own; here is their order, and what a repetition finds done already.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from squire_pipelines.domain.change import Decision, JudgedTask, Verdict
from squire_pipelines.domain.policy import WORKFLOWS, Policy
from squire_pipelines.domain.title_styles import CONVENTIONAL_TITLES, PLAIN_TITLES
from squire_pipelines.errors import GitError
from squire_pipelines.github.pulls import PullRequestRef
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.api_commit import ApiCommits
from squire_pipelines.publishing.body import PullRequestText, pull_request_text
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.commit import commit_change
from squire_pipelines.publishing.conflict_marks import files_beyond_base
from squire_pipelines.publishing.diff import write_diff
from squire_pipelines.publishing.git import GitLimits
from squire_pipelines.publishing.inspection import inspect_bundle, inspect_change, inspect_merge, inspect_text
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.opening import Opening
from squire_pipelines.publishing.own_style import with_own_style
from squire_pipelines.publishing.publication_steps import OnStep, PublicationStep
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.push import push_head, remote_head
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.publishing.request import PublishRequest, TextStyle
from squire_pipelines.publishing.tries import try_again
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings

_log = get_logger(Component.PUBLISHER)
_TITLES = {"plain": PLAIN_TITLES, "conventional": CONVENTIONAL_TITLES, None: None}


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


def _show_change(request: PublishRequest, change: VerifiedChange, settings: PublishingSettings) -> None:
    """Write for people what a change does, also one that will be refused. It is published without that, too."""
    if request.diff is None:
        return
    limits = GitLimits(timeout_s=settings.git_timeout_s, max_memory=settings.git_memory)
    try:
        write_diff(change.git_dir, change.base_sha, change.head_sha, limits, request.diff)
    except (GitError, OSError) as error:
        _log.warning("what a change does is not kept for people", attempt_id=request.attempt_id, reason=str(error))


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
    api_commits: ApiCommits | None = None,
    on_step: OnStep = _ignore,
) -> Published | Rejected:
    """Publish an attempt's work. Repeating it, after a crash at whatever step, ends in the same one pull request.

    Args:
        request: What is to be published.
        mirror: The repository's mirror, which has the base.
        pulls: Finds and opens pull requests.
        token: For the push.
        policy: What the change may be.
        settings: How large the bundle may be, what becomes a draft, and how often GitHub is asked again.
        known_secrets: Values that must be published in no form; the token always counts.
        api_commits: Has GitHub's API make the commit; None pushes our own, without a signature.
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
        branch=request.bundle_branch or request.branch,
        base_sha=request.base_sha,
        scratch=request.scratch,
        settings=settings,
        may_be_empty=request.merge is not None,
    )
    await asyncio.to_thread(_show_change, request, change, settings)
    on_step(PublicationStep.VERIFIED, change.head_sha)
    request = await asyncio.to_thread(with_own_style, request, change)
    secrets = (*known_secrets, *([token] if token else []))
    verdict, text = await asyncio.to_thread(_judge, request, change, policy, secrets, settings)
    on_step(PublicationStep.JUDGED, verdict.decision)
    if verdict.decision is Decision.REJECT:
        _log.warning("change rejected", attempt_id=request.attempt_id, findings=[str(f) for f in verdict.findings[:20]])
        return Rejected(change.head_sha, verdict)
    head_sha = await asyncio.to_thread(commit_change, change, request)
    if api_commits is not None:
        existing = await pulls.find(request.repository, request.target)
        present = await asyncio.to_thread(remote_head, remote, request.target)
        heads = (present, existing.head_sha if existing else None)
        make = partial(api_commits.make, change, request, head_sha, earlier_heads=heads, settings=settings)
        head_sha = await try_again(make, settings=settings)
    needs_approval = verdict.decision is Decision.NEEDS_APPROVAL
    opening = Opening(
        request,
        pulls,
        settings,
        text=text,
        head_sha=head_sha,
        push=partial(_push, request, change, remote, head_sha),
        needs_approval=needs_approval,
        draft=needs_approval or _is_draft(request, settings),
        on_step=on_step,
    )
    pull, created = await try_again(opening.bring, settings=settings)
    on_step(PublicationStep.DONE, pull.url)
    return Published(pull, head_sha, verdict, created)


def _push(request: PublishRequest, change: VerifiedChange, remote: Remote, head_sha: str) -> None:
    # A follow-up adds to what people have seen: it replaces nothing, not even our own earlier try.
    earlier = frozenset() if request.follow_up else request.earlier_heads
    push_head(change.git_dir, remote, branch=request.target, head_sha=head_sha, earlier_heads=earlier)


def _is_draft(request: PublishRequest, settings: PublishingSettings) -> bool:
    if request.unfinished:
        return True
    if request.verification is not None and request.verification.passed is False:
        return True
    return settings.draft == "always" or (settings.draft == "untrusted" and not request.trusted)


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
    judged = change
    if request.merge is not None:
        limits = GitLimits(timeout_s=settings.git_timeout_s, max_memory=settings.git_memory)
        files = files_beyond_base(change.git_dir, change.head_sha, request.merge, change.files, limits)
        judged = replace(change, files=files)
    verdict = inspect_change(judged, policy, task, settings)
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
    marks = inspect_merge(change, request.merge, settings) if request.merge is not None else ()
    return Verdict.of((*verdict.findings, *text_verdict.findings, *marks)), text
