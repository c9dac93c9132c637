"""From GitHub's objects to signals: which checks count as failed, which remarks as open, and each signal's identity.

Pure. The objects are read by `collecting`.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.domain.authority import ActorKind, Approval, Author, Provenance, kind_of
from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from squire_pipelines.domain.duplicates import closed_issues
from squire_pipelines.domain.evidence import SignalEvidence
from squire_pipelines.domain.failures import CheckHistory, CheckRecord, classify, histories, ignored_by, is_own_event
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT
from squire_pipelines.domain.signals import FailedCheck, OpenIssue, OpenPullRequest, Signal, issue_version
from squire_pipelines.domain.text import shorten
from squire_pipelines.github.models import (
    Actor,
    CheckRun,
    Commit,
    Issue,
    PullRequest,
    Rollup,
    StatusContext,
)
from squire_pipelines.github.provenance import (
    author_of,
    issue_text,
    label_names,
    labels_of_pull_request,
    provenance_of_issue,
)

MAX_SUMMARY_CHARS = 4_000
_GHOST = "ghost"  # how GitHub shows an author whose account is gone
_CHECKS_OF_ROLLUP = {
    "SUCCESS": ChecksState.PASSED,
    "FAILURE": ChecksState.FAILED,
    "ERROR": ChecksState.FAILED,
    "PENDING": ChecksState.PENDING,
    "EXPECTED": ChecksState.PENDING,
}


def checks_state(rollup: Rollup | None) -> ChecksState:
    """Return what a commit's checks say together; our own report, which fails and waits for nothing, is none."""
    state = _CHECKS_OF_ROLLUP.get(rollup.state, ChecksState.PENDING) if rollup else ChecksState.NONE
    checks = rollup.contexts if rollup else None
    if state is not ChecksState.PASSED or checks is None or checks.page_info.has_next_page or not checks.items:
        return state
    return ChecksState.NONE if all(map(_is_own, checks.items)) else state


def _is_own(check: CheckRun | StatusContext | None) -> bool:
    if check is None:
        return False
    return check.name == CHECK_NAME if isinstance(check, CheckRun) else check.context == STATUS_CONTEXT


def login(actor: Actor | None) -> str:
    """Return the login of who did something."""
    return actor.login if actor else _GHOST


def is_bot(actor: Actor | None) -> bool:
    """Return whether an App did it, by its type: a person may be called like a bot."""
    return actor is not None and kind_of(actor.typename) is ActorKind.BOT


def open_pull_request(repository: str, pull: PullRequest, *, checks_known: bool) -> Signal:
    """Return the signal of an open pull request. `checks_known` is False when the token may not read its checks."""
    labels = label_names(pull.labels)
    threads = pull.review_threads.nodes if pull.review_threads else ()
    state = checks_state(pull.head.status_check_rollup if pull.head else None) if checks_known else None
    return Signal(
        repository=repository,
        key=str(pull.number),
        version=_digest(pull.head_ref_oid, pull.title, pull.body, pull.base_ref_name, str(pull.is_draft), *labels),
        title=pull.title,
        url=pull.url,
        updated_at=pull.updated_at,
        author=author_of(pull.author, pull.author_association),
        details=OpenPullRequest(
            number=pull.number,
            author=login(pull.author),
            is_draft=pull.is_draft,
            head_ref=pull.head_ref_name,
            head_sha=pull.head_ref_oid,
            base_ref=pull.base_ref_name,
            labels=labels,
            ci_state=state.value if state else None,
            unresolved_threads=sum(1 for thread in threads if not thread.is_resolved and not thread.is_outdated),
            from_fork=pull.is_cross_repository,
            closes=closed_issues(pull.body, repository),
        ),
    )


def open_issue(repository: str, issue: Issue, *, chosen_labels: Collection[str]) -> Signal:
    """Return the signal of an open issue; `chosen_labels` are those that choose an issue for work."""
    labels = label_names(issue.labels)
    body = issue_text(issue.body)
    return Signal(
        repository=repository,
        key=str(issue.number),
        version=issue_version(issue.title, body, labels, chosen_labels),
        title=issue.title,
        url=issue.url,
        updated_at=issue.updated_at,
        author=author_of(issue.author, issue.author_association),
        provenance=provenance_of_issue(issue),
        details=OpenIssue(
            number=issue.number,
            author=login(issue.author),
            author_association=issue.author_association,
            labels=labels,
            body=body,
            comments=issue.comments.total_count,
        ),
    )


def is_own_dashboard(issue: Issue) -> bool:
    """Return whether an issue is our dashboard, which is no work: it has our mark, and GitHub says that it is ours."""
    return issue.viewer_did_author and DASHBOARD_MARK in issue.body


@dataclass(frozen=True, slots=True)
class CheckRules:
    """How checks become signals: `ignored` are patterns of those that are none, `redact` hides the secrets in a text.

    What programs wrote, which have secrets, is redacted where the signal is made, before anything is cut off.
    """

    ignored: Sequence[str]
    redact: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _CheckedHead:
    """Whose checks failed: `name` is a branch, or a pull request such as `#7` with its `branch`."""

    name: str
    branch: str
    url: str
    fallback_time: datetime
    pull_request: int | None = None
    pull_request_author: str | None = None
    from_fork: bool = False
    author: Author | None = None
    approvals: tuple[Approval, ...] = ()


def failed_checks_of_branch(
    repository: str, branch: str, head: Commit, rules: CheckRules, *, repository_url: str, read_at: datetime
) -> Iterator[Signal]:
    """Yield the failed checks of the default branch's head."""
    url = f"{repository_url}/commit/{head.oid}"
    checked = _CheckedHead(branch, branch, url, head.committed_date or read_at)
    yield from _failed_checks(repository, head, checked, rules)


def failed_checks_of_pull_request(repository: str, pull: PullRequest, rules: CheckRules) -> Iterator[Signal]:
    """Yield the failed checks of an open pull request's head."""
    if pull.head is not None:
        checked = _CheckedHead(
            f"#{pull.number}",
            pull.head_ref_name,
            f"{pull.url}/checks",
            pull.updated_at,
            pull_request=pull.number,
            pull_request_author=login(pull.author),
            author=author_of(pull.author, pull.author_association),
            approvals=labels_of_pull_request(pull),
            from_fork=pull.is_cross_repository,
        )
        yield from _failed_checks(repository, pull.head, checked, rules)


def _failed_checks(repository: str, head: Commit, checked: _CheckedHead, rules: CheckRules) -> Iterator[Signal]:
    checks = _own_runs(head.checks.nodes if head.checks else (), on_default_branch=checked.pull_request is None)
    for history in histories(_record(check, position) for position, check in enumerate(checks)):
        if history.newest.has_failed and ignored_by(history.newest, rules.ignored) is None:
            yield _failed_check(
                repository, checks[history.newest.position], history, head, checked, redact=rules.redact
            )


def _own_runs(checks: Sequence[CheckRun | StatusContext], *, on_default_branch: bool) -> list[CheckRun | StatusContext]:
    """Return the runs without those that others could have started of a check which ran for ourselves, too.

    Or anybody could replace the outcome of a check by commenting, where its workflow runs on comments as well.
    """
    own = [
        not isinstance(check, CheckRun) or is_own_event(check.event, on_default_branch=on_default_branch)
        for check in checks
    ]
    names = [_record(check, 0).identity for check in checks]
    with_own = {name for name, is_own in zip(names, own, strict=True) if is_own}
    return [check for check, name, is_own in zip(checks, names, own, strict=True) if is_own or name not in with_own]


def _record(check: CheckRun | StatusContext, position: int) -> CheckRecord:
    if isinstance(check, CheckRun):
        conclusion = check.conclusion.lower() if check.conclusion else None
        app, ended_at = check.app or None, check.completed_at
        return CheckRecord(app, check.workflow, check.name, conclusion, check.started_at, ended_at, position)
    set_at = check.created_at
    return CheckRecord(None, None, check.context, check.state.lower(), set_at, set_at, position)


def _failed_check(
    repository: str,
    check: CheckRun | StatusContext,
    history: CheckHistory,
    head: Commit,
    checked: _CheckedHead,
    *,
    redact: Callable[[str], str],
) -> Signal:
    record = history.newest
    if isinstance(check, CheckRun):
        summary = redact("\n".join(part for part in (check.title, check.summary) if part))
        evidence = SignalEvidence(report=redact(check.text)) if check.text else None
        check_run, workflow_run, link = check.database_id, check.workflow_run_id, check.details_url
        event = check.event
    else:
        summary, check_run, workflow_run, link = redact(check.description), None, None, check.target_url
        evidence, event = None, None
    failure = classify(history, summary)
    return Signal(
        repository=repository,
        key=f"{checked.name}:{record.full_name}",
        version=head.oid,
        title=f"{record.full_name} failed on {checked.name}",
        url=link or checked.url,
        updated_at=record.ended_at or record.started_at or checked.fallback_time,
        author=checked.author,
        # A commit's own time is its author's to choose; the check ran when the commit was there.
        provenance=Provenance(written_at=record.ended_at or record.started_at, approvals=checked.approvals),
        details=FailedCheck(
            check=record.name,
            conclusion=record.conclusion or "",
            branch=checked.branch,
            head_sha=head.oid,
            pull_request=checked.pull_request,
            pull_request_author=checked.pull_request_author,
            workflow=record.workflow,
            summary=shorten(summary, MAX_SUMMARY_CHARS),
            on_default_branch=checked.pull_request is None,
            from_fork=checked.from_fork,
            app=record.app,
            check_run=check_run,
            workflow_run=workflow_run,
            event=event,
            failure=failure.kind,
            failure_reason=failure.reason,
        ),
        evidence=evidence,
    )


def newest_by_ref(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """Return one signal for each name, the newest: one job may run twice."""
    newest: dict[str, Signal] = {}
    for signal in signals:
        known = newest.get(signal.ref)
        if known is None or known.updated_at < signal.updated_at:
            newest[signal.ref] = signal
    return tuple(newest.values())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
