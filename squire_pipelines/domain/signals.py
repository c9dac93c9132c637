"""Signals and collections: one fact seen in a repository, and one reading of one of its sources."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, InstanceOf

from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.authority import Author, Provenance, StartVerdict
from squire_pipelines.domain.evidence import SignalEvidence
from squire_pipelines.domain.failures import FailureClass, is_own_event
from squire_pipelines.domain.frozen import FrozenModel


class SignalKind(StrEnum):
    """What kind of fact a signal is."""

    OPEN_PR = "open_pr"
    FAILED_CI = "failed_ci"
    OPEN_ISSUE = "open_issue"
    REVIEW_FINDING = "review_finding"
    MANUAL_TASK = "manual_task"
    PLUGIN_FACT = "plugin_fact"


MANUAL_SOURCE = "manual"
"""The source that reads task files beside the settings."""

HOOKS_SOURCE = "hooks"
"""The source of what other senders than GitHub deliver; its signals have the sender's name in their keys."""


class Source(StrEnum):
    """What is read of a repository; each source is an asset `signals/<source>`."""

    OPEN_PRS = "open_prs"
    FAILED_CI = "failed_ci"
    OPEN_ISSUES = "open_issues"
    REVIEW_FINDINGS = "review_findings"
    REPOSITORY_TASKS = "repository_tasks"

    @property
    def kind(self) -> SignalKind:
        """The kind of signal that this source yields."""
        return _KIND_OF_SOURCE[self]

    @property
    def key_prefix(self) -> str:
        """What the keys of its signals begin with, where others yield the same kind."""
        return f"{self.value}/" if self is Source.REPOSITORY_TASKS else ""


class FurtherSource(str):
    """A source beside those of GitHub, by its name: task files beside the settings, a package's, or other senders."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The name."""
        return str(self)

    @property
    def kind(self) -> SignalKind:
        """The kind of signal that this source yields."""
        return SignalKind.MANUAL_TASK if self == MANUAL_SOURCE else SignalKind.PLUGIN_FACT

    @property
    def key_prefix(self) -> str:
        """What the keys of its signals begin with, since others may yield the same kind."""
        return f"{self}/"


AnySource = Source | FurtherSource


def source_of(name: str) -> AnySource:
    """Return the source of that name."""
    return Source(name) if name in _KIND_OF_SOURCE else FurtherSource(name)


def is_from_file(signal: "Signal") -> bool:
    """Return whether a task file has this request, which lasts as long as the file does."""
    return is_from(signal, FurtherSource(MANUAL_SOURCE)) or is_from(signal, Source.REPOSITORY_TASKS)


def is_from(signal: "Signal", source: AnySource) -> bool:
    """Return whether a source yields this signal."""
    return signal.kind is source.kind and signal.key.startswith(source.key_prefix)


_KIND_OF_SOURCE = {
    Source.OPEN_PRS: SignalKind.OPEN_PR,
    Source.FAILED_CI: SignalKind.FAILED_CI,
    Source.OPEN_ISSUES: SignalKind.OPEN_ISSUE,
    Source.REVIEW_FINDINGS: SignalKind.REVIEW_FINDING,
    Source.REPOSITORY_TASKS: SignalKind.MANUAL_TASK,
}


class CollectionStatus(StrEnum):
    """How a reading ended. A failure is never "no signals"."""

    FRESH = "fresh"
    UNCHANGED = "unchanged"
    STALE = "stale"
    FAILED = "failed"

    @property
    def source_answered(self) -> bool:
        """Whether the source answered, so that what we know of it is current."""
        return self in {CollectionStatus.FRESH, CollectionStatus.UNCHANGED}


class OpenPullRequest(FrozenModel):
    """An open pull request; `closes` are the issues of its repository that its text says it closes."""

    kind: Literal[SignalKind.OPEN_PR] = SignalKind.OPEN_PR
    number: int
    author: str
    is_draft: bool
    head_ref: str
    head_sha: str
    base_ref: str
    labels: tuple[str, ...] = ()
    ci_state: str | None = None
    unresolved_threads: int = 0
    from_fork: bool = False
    closes: tuple[int, ...] = ()


class FailedCheck(FrozenModel):
    """A check that failed on the head of the default branch or of an open pull request.

    `app` is the slug of the App that reports it. `check_run` is GitHub's id of this run of the check, `workflow_run`
    that of the workflow's run which it is a job of; None where there is none. `failure` says what it failed of, and
    `failure_reason` by which rule. `rerun` is the state of its second run, and `waits_until` how long that is waited
    for before a task is made; None when it is not waited for. `event` is what started the workflow, empty where GitHub
    does not say, None of a check that is no job of a workflow.
    """

    kind: Literal[SignalKind.FAILED_CI] = SignalKind.FAILED_CI
    check: str
    conclusion: str
    branch: str
    head_sha: str
    pull_request: int | None = None
    pull_request_author: str | None = None
    workflow: str | None = None
    summary: str = ""
    on_default_branch: bool
    from_fork: bool = False
    app: str | None = None
    check_run: int | None = None
    workflow_run: int | None = None
    event: str | None = None
    failure: FailureClass = FailureClass.CODE
    failure_reason: str = ""
    rerun: str | None = None
    rerun_note: str = ""
    waits_until: datetime | None = None


class UnapprovedText(FrozenModel):
    """The present text of an issue, which was changed after it was approved, and the version that it would have."""

    title: str
    body: str
    version: str = ""


class OpenIssue(FrozenModel):
    """An open issue.

    `body` and the signal's title are the text that was approved, where one was and is known; `unapproved` is then the
    text that came later.
    """

    kind: Literal[SignalKind.OPEN_ISSUE] = SignalKind.OPEN_ISSUE
    number: int
    author: str
    author_association: str = "NONE"
    labels: tuple[str, ...] = ()
    body: str = ""
    comments: int = 0
    unapproved: UnapprovedText | None = None


class ReviewFinding(FrozenModel):
    """A reviewer's unresolved remark on an open pull request.

    `outdated` when the code that it is about has changed since, or a bot judged an older head. `start_line` is where a
    remark on several lines begins, `side` which side of the difference it is on. `severity`, `confidence` (0 to 1) and
    `judged_head` are what a review bot says. Of a remark without a thread, `thread` names where it was written.
    """

    kind: Literal[SignalKind.REVIEW_FINDING] = SignalKind.REVIEW_FINDING
    pull_request: int
    pull_request_author: str | None = None
    thread: str
    author: str
    is_bot: bool
    body: str
    path: str | None = None
    line: int | None = None
    head_ref: str
    head_sha: str
    from_fork: bool = False
    start_line: int | None = None
    side: str | None = None
    outdated: bool = False
    severity: str | None = None
    confidence: float | None = None
    judged_head: str | None = None


class ManualTask(FrozenModel):
    """A person's own request.

    `allow_protected` are the protected paths that it names; `branch` is that of our own open pull request to which the
    work is to be added, None for work of its own. `agent` is the one that is to do it, None for that of the settings.
    """

    kind: Literal[SignalKind.MANUAL_TASK] = SignalKind.MANUAL_TASK
    author: str
    body: str
    allow_protected: tuple[str, ...] = ()
    branch: str | None = None
    agent: AgentOrder | None = None


class PluginFact(FrozenModel):
    """A fact that a package's source has seen, or that another sender delivered; `source` is that one's name.

    The settings say whether work may start from it. `severity` is in the sender's word, empty where it says none.
    """

    kind: Literal[SignalKind.PLUGIN_FACT] = SignalKind.PLUGIN_FACT
    source: str
    author: str = ""
    body: str = ""
    branch: str | None = None
    severity: str = ""


Details = Annotated[
    OpenPullRequest | FailedCheck | OpenIssue | ReviewFinding | ManualTask | PluginFact, Field(discriminator="kind")
]


def issue_version(title: str, body: str, labels: Iterable[str], chosen_labels: Iterable[str]) -> str:
    """Return the version of an issue: of its text as work starts from it, and of the labels that choose it, alone.

    Whoever triages sets other labels, which make no other work of it.
    """
    choosing = {label.casefold() for label in chosen_labels}
    parts = (title, body, *sorted(name for name in map(str.casefold, labels) if name in choosing))
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Signal(FrozenModel):
    """One fact seen in a repository.

    `key` names it among the repository's signals of its kind and stays the same while it lasts; `version` changes
    when the fact does (a new head commit, an edited body), so that a task is not planned twice for the same fact.
    `evidence` is None where none was read. `author` is who wrote it or whose branch it is about, None for the default
    branch, which is nobody's alone. `verdict` is None when nobody judged it, as in old rows: it starts no work.
    """

    repository: str
    key: str
    version: str
    title: str
    url: str
    updated_at: datetime
    details: Details
    evidence: SignalEvidence | None = None
    author: Author | None = None
    provenance: Provenance | None = None
    verdict: StartVerdict | None = None

    @property
    def text_version(self) -> str:
        """What a person approves by releasing this: it changes with the text that work would start from, alone."""
        parts: tuple[str, ...]
        match self.details:
            case OpenIssue(unapproved=UnapprovedText() as present):
                parts = (present.title, present.body)
            case OpenIssue() | ManualTask():
                parts = (self.title, self.details.body)
            case ReviewFinding():
                parts = (self.details.author, self.details.body)
            case FailedCheck() as check if is_own_event(check.event, on_default_branch=check.on_default_branch):
                # A person decides about the check on this branch: each commit has another version of it.
                parts = (self.key,)
            case FailedCheck() as check:
                # Anybody can start this workflow again: what a person read is the run on this commit, alone.
                parts = (self.key, check.head_sha)
            case _:
                parts = (self.version,)
        return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def kind(self) -> SignalKind:
        """The kind of the fact."""
        return self.details.kind

    @property
    def ref(self) -> str:
        """The signal's name within its repository, `kind:key`, by which tasks refer to it."""
        return f"{self.kind}:{self.key}"


class Collection(FrozenModel):
    """One reading of one source of one repository.

    For `stale` and `failed`, `signals` holds nothing and `error_code` and `error` say why; the ledger keeps the last
    good signals, and it is the ledger that knows whether there are any (`stale`) or not (`failed`).

    `requests` counts the requests of this reading, `quota_cost` the points of the source's quota that they cost, and
    `quota_remaining` what was left of it after the last one; None where that is not known. A request that serves
    several sources counts for one of them.
    """

    repository: str
    source: Annotated[InstanceOf[Source] | InstanceOf[FurtherSource], BeforeValidator(source_of)]
    status: CollectionStatus
    started_at: datetime
    ended_at: datetime
    signals: tuple[Signal, ...] = ()
    error_code: str | None = None
    error: str | None = None
    truncated: bool = False
    requests: int | None = None
    quota_cost: int | None = None
    quota_remaining: int | None = None
