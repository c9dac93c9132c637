"""Brings a judged commit to GitHub: the branch, its pull request, labels, reviewers, draft.

All of it may be repeated at any point, and finds what is there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from squire_pipelines.errors import GitHubError, GitHubPermissionError, GitHubValidationError, PublishRefusedError
from squire_pipelines.github.pulls import PullRequestRef, is_without_drafts
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.body import MAX_CLOSED, PullRequestText, with_follow_up
from squire_pipelines.publishing.publication_steps import OnStep, PublicationStep
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.sections.tasks import PublishingSettings

_log = get_logger(Component.PUBLISHER)
_ARCHIVED = "Repository was archived so is read-only."


@dataclass(slots=True)
class Opening:
    """One commit's way to its pull request, as often as it is tried.

    Args:
        request: What is published.
        pulls: Finds and opens pull requests.
        settings: Which labels it gets, and who is asked for a review.
        text: The pull request's.
        head_sha: The commit that is published.
        push: Brings the branch to it.
        needs_approval: Whether the policy holds it for a person.
        draft: Whether a new pull request is one.
        on_step: Called at each step.
    """

    request: PublishRequest
    pulls: PullRequests
    settings: PublishingSettings
    text: PullRequestText
    head_sha: str
    push: Callable[[], None]
    needs_approval: bool
    draft: bool
    on_step: OnStep
    _before: set[int] | None = field(default=None, init=False)

    async def bring(self) -> tuple[PullRequestRef, bool]:
        """Return the pull request, and whether this publication opened it. See `publish_change` for what it raises."""
        request = self.request
        existing = await self.pulls.find(request.repository, request.target)
        if self._before is None:
            # A try whose answer was lost has opened it all the same.
            self._before = {existing.number} if existing else set()
        # A pull request at our head, open or not, means that all was done before, and perhaps merged since.
        if existing is None or existing.head_sha != self.head_sha:
            if request.follow_up is not None and (existing is None or existing.state != "open"):
                raise _no_pull_request(request, existing)
            self.on_step(PublicationStep.PUSHING, self.head_sha)
            await asyncio.to_thread(self.push)
            self.on_step(PublicationStep.PUSHED, self.head_sha)
        with _refusals(request.repository):
            pull = await self._open(existing)
            created = pull.number not in self._before
            self.on_step(PublicationStep.OPENED, pull.url)
            await self._finish(pull, created=created)
        return pull, created

    async def _finish(self, pull: PullRequestRef, *, created: bool) -> None:
        """Set labels and draft, and ask for reviews."""
        repository, settings = self.request.repository, self.settings
        labels = [*settings.labels, *([settings.label] if self.needs_approval else [])]
        if pull.state == "open" and labels and (self.needs_approval or self.request.follow_up is None):
            await self.pulls.add_labels(repository, pull.number, labels)
        if created:
            await self._ask_for_reviews(pull.number)
            await self._take_milestone(pull.number)
        if self.needs_approval and pull.state == "open":
            self.on_step(PublicationStep.LABELLED, pull.url)
            if not pull.draft:
                await self.pulls.set_draft(repository, pull.number, draft=True)

    async def _ask_for_reviews(self, number: int) -> None:
        """Ask people for reviews. One whom GitHub refuses is no reason to lose the work: it is logged."""
        reviewers = self.settings.reviewers
        if not reviewers:
            return
        try:
            await self.pulls.request_reviewers(self.request.repository, number, reviewers)
        except GitHubError as error:
            _log.warning("nobody was asked for a review", number=number, reviewers=list(reviewers), reason=str(error))

    async def _take_milestone(self, number: int) -> None:
        """Plan the pull request as the issues that it closes are. What GitHub refuses loses no work: it is logged."""
        issues = self.request.closes[:MAX_CLOSED]
        if not issues or not self.settings.milestone:
            return
        try:
            await self.pulls.take_milestone(self.request.repository, number, issues)
        except GitHubError as error:
            _log.warning("the milestone of the issues was not taken over", number=number, reason=str(error))

    async def _open(self, existing: PullRequestRef | None) -> PullRequestRef:
        """Return the pull request of the branch, with its text as it is now."""
        request, text = self.request, self.text
        if existing is not None and request.follow_up is not None:
            body = with_follow_up(existing.body, text, task_id=request.task_id)
            if existing.state == "open" and body != existing.body:
                return await self.pulls.update(request.repository, existing.number, title=existing.title, body=body)
            return existing
        if existing and existing.head_sha == self.head_sha:
            return existing
        if existing and existing.state == "open":
            return await self.pulls.update(request.repository, existing.number, title=text.title, body=text.body)
        try:
            return await self._create(draft=self.draft)
        except GitHubValidationError as error:
            # Private repositories on GitHub's free plan have no drafts; the label still says what is needed.
            if not self.draft or not is_without_drafts(error):
                raise
            return await self._create(draft=False)

    async def _create(self, *, draft: bool) -> PullRequestRef:
        request = self.request
        return await self.pulls.create(
            request.repository,
            title=self.text.title,
            body=self.text.body,
            head=request.branch,
            base=request.base_ref,
            draft=draft,
        )


def _no_pull_request(request: PublishRequest, existing: PullRequestRef | None) -> PublishRefusedError:
    reason = f"#{existing.number} is {existing.state}" if existing else "there is no pull request any more"
    return PublishRefusedError(
        f"the work cannot be added to {request.target}: {reason}",
        reason="no_pull_request",
        hint="create a new task for it",
        context={"branch": request.target},
    )


@contextlib.contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Raise GitHub's refusal of a pull request as PublishRefusedError. The branch is there by then."""
    try:
        yield
    except (GitHubPermissionError, GitHubValidationError) as error:
        if error.context.get("message") == _ARCHIVED:
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
