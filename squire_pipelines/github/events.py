"""What a webhook's delivery says: which repository to look at, and what became of a pull request or of checks.

Pure, and tolerant: only the fields that we use are read, and an event that we do not know is not relevant. Deliveries
are received, verified and stored by `webhooks`.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import parse_qs

from pydantic import Field, ValidationError
from pydantic_core import from_json

from squire_pipelines.domain.dashboards import DASHBOARD_MARK, has_tick
from squire_pipelines.domain.delivery_filters import DeliveryFacts
from squire_pipelines.domain.failures import FAILED_CONCLUSIONS
from squire_pipelines.domain.moments import Moment
from squire_pipelines.domain.outcomes import ChecksState, PullRequestReport, PullRequestState
from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT
from squire_pipelines.domain.repository_changes import InstallationChange, RepositoryChange
from squire_pipelines.domain.reverts import PullWords, reverted_pulls
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github import account_events
from squire_pipelines.github.account_events import DeliveredRepository
from squire_pipelines.github.delivery_facts import facts_of
from squire_pipelines.github.models import GitHubModel, Text

Number = Annotated[int, Field(ge=1, lt=2**31)]
"""The number of a pull request, within what the ledger's column holds."""

_EDITS = frozenset({"created", "edited", "deleted"})
RELEVANT_ACTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "pull_request": frozenset(
            {
                "opened",
                "reopened",
                "closed",
                "synchronize",
                "edited",
                "labeled",
                "unlabeled",
                "ready_for_review",
                "converted_to_draft",
                "auto_merge_disabled",
                "dequeued",
            }
        ),
        "pull_request_review": frozenset({"submitted", "edited", "dismissed"}),
        "pull_request_review_comment": _EDITS,
        "pull_request_review_thread": frozenset({"resolved", "unresolved"}),
        "issues": frozenset(
            {"opened", "edited", "reopened", "closed", "deleted", "transferred", "labeled", "unlabeled"}
        ),
        "issue_comment": _EDITS,
        "check_run": frozenset({"completed"}),
        "check_suite": frozenset({"completed"}),
        "workflow_run": frozenset({"completed"}),
        "repository": frozenset(
            {"renamed", "transferred", "archived", "unarchived", "privatized", "publicized", "deleted", "edited"}
        ),
    }
)
"""The actions that may change a repository's signals or a pull request's outcome."""

WITHOUT_ACTION = frozenset({"push", "status"})
_CHECK_EVENTS = frozenset({"check_run", "check_suite", "workflow_run"})
_BRANCH_PREFIX = "refs/heads/"
_PASSED = frozenset({"SUCCESS", "NEUTRAL", "SKIPPED"})


class ChecksReport(GitHubModel):
    """What one check, suite, workflow run or status says of a commit.

    `failed` holds for the commit as a whole. `passed` speaks of this one alone: `pull_request_reports` finds
    out whether all have passed.
    """

    repository: str
    head_sha: str
    state: ChecksState
    pull_requests: tuple[int, ...] = ()


class PushReport(GitHubModel):
    """The commits that a push brought to a branch, newest first, each with its message."""

    repository: str
    branch: str
    messages: tuple[tuple[str, str], ...]


class RevertReport(GitHubModel):
    """The pull requests that one takes back which was just merged into a branch: see `domain.reverts`."""

    base_branch: str
    numbers: tuple[int, ...]


class LabelReport(GitHubModel):
    """A label that was set on an issue."""

    number: int
    name: str


class ParsedDelivery(GitHubModel):
    """What a delivery says.

    `relevant` tells whether the repository deserves a new look; what is about its `dashboard` alone, or about people,
    has nothing read again. `of_account` is what says something though it names no repository of the settings: a ping,
    and what happens to an organisation or to the App's installation. `label` is one that was set on an issue.
    `facts` are what the rules of the settings ask.
    """

    event: str
    facts: DeliveryFacts
    action: str | None = None
    repository: str | None = None
    repository_id: int | None = None
    sender: str | None = None
    relevant: bool = False
    report: PullRequestReport | None = None
    checks: ChecksReport | None = None
    reverts: RevertReport | None = None
    push: PushReport | None = None
    dashboard: bool = False
    of_account: bool = False
    changes_people: bool = False
    organization: str | None = None
    change: RepositoryChange | None = None
    installation: InstallationChange | None = None
    label: LabelReport | None = None

    @property
    def collects(self) -> bool:
        """Whether its repository is to be read for it."""
        aside = self.dashboard or self.of_account or self.changes_people
        return self.relevant and self.repository is not None and not aside


class _Sender(GitHubModel):
    login: Text


class _Head(GitHubModel):
    ref: Text
    sha: Text


class _Base(GitHubModel):
    ref: Text


class _DeliveredPullRequest(GitHubModel):
    number: Number
    title: Text = ""
    html_url: Text
    state: Literal["open", "closed"]
    updated_at: Moment
    merged_at: Moment | None = None
    closed_at: Moment | None = None
    body: Text = ""
    head: _Head
    base: _Base | None = None


class _Numbered(GitHubModel):
    number: Number


class _Check(GitHubModel):
    head_sha: Text
    conclusion: str | None = None
    pull_requests: tuple[_Numbered, ...] | None = None


class _Envelope(GitHubModel):
    action: Text | None = None
    repository: DeliveredRepository | None = None
    sender: _Sender | None = None
    organization: _Sender | None = None
    ref: Text | None = None


class _PushedCommit(GitHubModel):
    id: Text
    message: Text = ""


class _Push(GitHubModel):
    ref: Text
    commits: tuple[_PushedCommit, ...] | None = None


class _SetLabel(GitHubModel):
    name: Text


class _Labelled(GitHubModel):
    issue: _Numbered | None = None
    label: _SetLabel | None = None


class _WithPullRequest(GitHubModel):
    pull_request: _DeliveredPullRequest


class _Status(GitHubModel):
    sha: Text
    state: str


def parse_delivery(event: str, body: bytes, *, known_as: str | None = None) -> ParsedDelivery:
    """Read a delivery of which the signature has been verified.

    Args:
        event: The header `X-GitHub-Event`.
        known_as: The name by which we know its repository, which may have been renamed since, or be spelled in
            another case; by default the delivery's own.
        body: Raw; JSON, or a form with the field `payload`, which are the two content types of GitHub's webhooks.

    Raises:
        DeliveryError: The body is no JSON object, or lacks what GitHub always sends for this event.
    """
    data = delivered_object(body)
    try:
        envelope = _Envelope.model_validate(data)
        repository = (known_as or envelope.repository.full_name) if envelope.repository else None
        sender = envelope.sender.login if envelope.sender else None
        of_account = account_events.is_of_account(event, envelope.action)
        of_people = account_events.changes_people(event, envelope.action)
        relevant = repository is not None and _is_relevant(event, envelope) and not _is_own_report(event, data)
        dashboard = relevant and _is_dashboard(event, data)
        relevant = relevant and (not dashboard or _asks_something(envelope, data))
        report = checks = reverts = push = change = label = None
        installation = account_events.installation_change(event, envelope.action, data, by=sender)
        if repository is not None and relevant:
            if event.startswith("pull_request"):
                pull = _WithPullRequest.model_validate(data).pull_request
                report = _report(repository, pull)
                # Once: what happens to it later is no revert anew.
                is_merge = (event, envelope.action) == ("pull_request", "closed") and pull.merged_at is not None
                reverts = _reverts(repository, pull) if is_merge else None
            elif event == "push":
                push = _push(repository, data)
            elif event == "repository" and envelope.repository is not None:
                change = account_events.repository_change(envelope.action, envelope.repository, by=sender)
            elif (event, envelope.action) == ("issues", "labeled") and not dashboard:
                label = _label(data)
            else:
                checks = _checks(event, repository, data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DeliveryError(
            f"the delivery of the event {event!r} is not what GitHub sends: {where}: {first['msg']}",
            context={"event": event, "field": where},
        ) from error
    return ParsedDelivery(
        event=event,
        facts=facts_of(event, data),
        action=envelope.action,
        repository=repository,
        repository_id=envelope.repository.id if envelope.repository else None,
        sender=sender,
        relevant=relevant or of_account or of_people,
        of_account=of_account,
        changes_people=of_people,
        organization=envelope.organization.login if envelope.organization else None,
        change=change,
        installation=installation,
        label=label,
        report=report,
        checks=checks,
        reverts=reverts,
        dashboard=dashboard,
        push=push,
    )


def delivered_object(body: bytes) -> dict[str, object]:
    """Return the object that a delivery's body holds, as JSON or as a form. Raises DeliveryError."""
    with suppress(ValueError):  # what it refuses, as deep lists and halves of surrogate pairs, is read by the other
        if isinstance(value := from_json(body, cache_strings="keys"), dict):
            return value
    try:
        text = body.decode("utf-8")
        if text.startswith("payload="):
            text = parse_qs(text, strict_parsing=True, errors="strict", max_num_fields=8)["payload"][0]
        data = json.loads(text)
    except (ValueError, KeyError, RecursionError) as error:
        raise DeliveryError(
            "the delivery's body is not JSON",
            hint="set the webhook's content type to application/json",
            context={"bytes": len(body), "reason": str(error)[:200]},
        ) from error
    if not isinstance(data, dict):
        raise DeliveryError(
            f"the delivery's body is not a JSON object but {type(data).__name__}", context={"bytes": len(body)}
        )
    return data


def _is_own_report(event: str, data: dict[str, object]) -> bool:
    """Return whether it is about our own report on a commit, which asks for nothing: see `domain.own_reports`."""
    if event == "status":
        return data.get("context") == STATUS_CONTEXT
    check = data.get("check_run") if event == "check_run" else None
    return isinstance(check, dict) and check.get("name") == CHECK_NAME


def _is_dashboard(event: str, data: dict[str, object]) -> bool:
    """Return whether an event is about a dashboard, by its mark: whose issue it is, the follower asks GitHub."""
    return event == "issues" and DASHBOARD_MARK in _issue_text(data)


def _asks_something(envelope: _Envelope, data: dict[str, object]) -> bool:
    """Return whether an event of a dashboard is more than our own writing: a ticked box, or its state."""
    return envelope.action != "edited" or has_tick(_issue_text(data))


def _issue_text(data: dict[str, object]) -> str:
    issue = data.get("issue")
    body = issue.get("body") if isinstance(issue, dict) else None
    return body if isinstance(body, str) else ""


def _label(data: dict[str, object]) -> LabelReport | None:
    labelled = _Labelled.model_validate(data)
    if labelled.label is None or labelled.issue is None:
        return None
    return LabelReport(number=labelled.issue.number, name=labelled.label.name)


def _is_relevant(event: str, envelope: _Envelope) -> bool:
    if event == "push":
        return (envelope.ref or "").startswith(_BRANCH_PREFIX)
    if event in WITHOUT_ACTION:
        return True
    return envelope.action in RELEVANT_ACTIONS.get(event, frozenset())


def _report(repository: str, pull: _DeliveredPullRequest) -> PullRequestReport:
    if pull.merged_at is not None:
        state = PullRequestState.MERGED
    else:
        state = PullRequestState.OPEN if pull.state == "open" else PullRequestState.CLOSED
    return PullRequestReport(
        repository=repository,
        number=pull.number,
        url=pull.html_url,
        head_ref=pull.head.ref,
        head_sha=pull.head.sha,
        state=state,
        updated_at=pull.updated_at,
        merged_at=pull.merged_at,
        closed_at=pull.closed_at,
    )


def _reverts(repository: str, pull: _DeliveredPullRequest) -> RevertReport | None:
    numbers = reverted_pulls(PullWords(pull.title, pull.body, pull.head.ref), repository)
    if pull.base is None or not numbers:
        return None
    return RevertReport(base_branch=pull.base.ref, numbers=numbers)


def _push(repository: str, data: dict[str, object]) -> PushReport:
    pushed = _Push.model_validate(data)
    return PushReport(
        repository=repository,
        branch=pushed.ref.removeprefix(_BRANCH_PREFIX),
        messages=tuple((commit.id, commit.message) for commit in reversed(pushed.commits or ())),
    )


def _checks(event: str, repository: str, data: dict[str, object]) -> ChecksReport | None:
    if event == "status":
        status = _Status.model_validate(data)
        state = _state_of(status.state)
        return ChecksReport(repository=repository, head_sha=status.sha, state=state) if state else None
    if event not in _CHECK_EVENTS or data.get(event) is None:
        return None
    check = _Check.model_validate(data[event])
    state = _state_of(check.conclusion or "")
    if state is None:
        return None
    numbers = tuple(pull.number for pull in check.pull_requests or ())
    return ChecksReport(repository=repository, head_sha=check.head_sha, state=state, pull_requests=numbers)


def _state_of(conclusion: str) -> ChecksState | None:
    """Return what a conclusion says; None for one that neither passes nor fails, such as `cancelled`."""
    if conclusion.lower() in FAILED_CONCLUSIONS:
        return ChecksState.FAILED
    return ChecksState.PASSED if conclusion.upper() in _PASSED else None
