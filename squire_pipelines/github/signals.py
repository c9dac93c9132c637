"""From GitHub's objects to signals: which checks count as failed, which remarks as open, and each signal's identity.

Pure. Reading the objects belongs to `collecting`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.signals import FailedCheck, OpenIssue, OpenPullRequest, ReviewFinding, Signal
from squire_pipelines.github.models import (
    Actor,
    CheckRun,
    Commit,
    Issue,
    Label,
    Nodes,
    PullRequest,
    Rollup,
    StatusContext,
)

FAILED_CONCLUSIONS = frozenset({"FAILURE", "TIMED_OUT", "STARTUP_FAILURE"})
"""Conclusions of check runs that a change of the code may mend.

ACTION_REQUIRED waits for a person, CANCELLED was somebody's wish or a newer push's, STALE was given up by GitHub.
https://docs.github.com/graphql/reference/enums#checkconclusionstate
"""

FAILED_STATES = frozenset({"FAILURE", "ERROR"})
"""States of commit statuses that count as failed. https://docs.github.com/graphql/reference/enums#statusstate"""

MAX_BODY_CHARS = 20_000
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
    """What a commit's checks say together."""
    return _CHECKS_OF_ROLLUP.get(rollup.state, ChecksState.PENDING) if rollup else ChecksState.NONE


def cut(text: str, limit: int) -> str:
    """`text`, shortened to `limit` characters with a mark that says so."""
    mark = "\n… (cut)"
    return text if len(text) <= limit else text[: limit - len(mark)] + mark


def login(actor: Actor | None) -> str:
    """Who it was."""
    return actor.login if actor else _GHOST


def is_bot(actor: Actor | None) -> bool:
    """Whether an app did it: GraphQL says so by type, REST by the suffix of the login."""
    return actor is not None and (actor.typename == "Bot" or actor.login.endswith("[bot]"))


def open_pull_request(repository: str, found: PullRequest, *, checks_known: bool) -> Signal:
    """The signal of an open pull request. `checks_known` is False when the token may not read its checks."""
    labels = _labels(found.labels)
    threads = found.review_threads.nodes if found.review_threads else ()
    state = checks_state(found.head.status_check_rollup if found.head else None) if checks_known else None
    return Signal(
        repository=repository,
        key=str(found.number),
        version=_digest(found.head_ref_oid, found.title, found.body, found.base_ref_name, str(found.is_draft), *labels),
        title=found.title,
        url=found.url,
        updated_at=found.updated_at,
        details=OpenPullRequest(
            number=found.number,
            author=login(found.author),
            is_draft=found.is_draft,
            head_ref=found.head_ref_name,
            head_sha=found.head_ref_oid,
            base_ref=found.base_ref_name,
            labels=labels,
            ci_state=state.value if state else None,
            unresolved_threads=sum(1 for thread in threads if not thread.is_resolved and not thread.is_outdated),
            from_fork=found.is_cross_repository,
        ),
    )


def open_issue(repository: str, found: Issue) -> Signal:
    """The signal of an open issue. Its version changes with title, body and labels, not with comments."""
    labels = _labels(found.labels)
    return Signal(
        repository=repository,
        key=str(found.number),
        version=_digest(found.title, found.body, *labels),
        title=found.title,
        url=found.url,
        updated_at=found.updated_at,
        details=OpenIssue(
            number=found.number,
            author=login(found.author),
            author_association=found.author_association,
            labels=labels,
            body=cut(found.body, MAX_BODY_CHARS),
            comments=found.comments.total_count,
        ),
    )


def review_findings(repository: str, found: PullRequest) -> Iterator[Signal]:
    """One signal for each unresolved thread on the present code of an open pull request: its first comment."""
    for thread in found.review_threads.nodes if found.review_threads else ():
        if thread.is_resolved or thread.is_outdated or not thread.comments.nodes:
            continue
        first = thread.comments.nodes[0]
        where = thread.path + (f":{thread.line}" if thread.line else "")
        yield Signal(
            repository=repository,
            key=thread.id,
            version=f"{found.head_ref_oid}:{first.updated_at.isoformat()}",
            title=f"Remark by {login(first.author)} on #{found.number}" + (f", {where}" if where else ""),
            url=first.url,
            updated_at=first.updated_at,
            details=ReviewFinding(
                pull_request=found.number,
                thread=thread.id,
                author=login(first.author),
                is_bot=is_bot(first.author),
                body=cut(first.body, MAX_BODY_CHARS),
                path=thread.path or None,
                line=thread.line,
                head_ref=found.head_ref_name,
                head_sha=found.head_ref_oid,
                from_fork=found.is_cross_repository,
            ),
        )


def failed_checks_of_branch(
    repository: str, branch: str, head: Commit, *, repository_url: str, read_at: datetime
) -> Iterator[Signal]:
    """The failed checks of the default branch's head."""
    for check in _failed(head):
        yield _failed_check(
            repository,
            check,
            head,
            where=branch,
            url=f"{repository_url}/commit/{head.oid}",
            fallback_time=head.committed_date or read_at,
            branch=branch,
            on_default_branch=True,
        )


def failed_checks_of_pull_request(repository: str, found: PullRequest) -> Iterator[Signal]:
    """The failed checks of an open pull request's head."""
    for check in _failed(found.head):
        yield _failed_check(
            repository,
            check,
            found.head or Commit(),
            where=f"#{found.number}",
            url=f"{found.url}/checks",
            fallback_time=found.updated_at,
            branch=found.head_ref_name,
            on_default_branch=False,
            pull_request=found.number,
            from_fork=found.is_cross_repository,
        )


def _failed_check(
    repository: str,
    check: CheckRun | StatusContext,
    head: Commit,
    *,
    where: str,
    url: str,
    fallback_time: datetime,
    branch: str,
    on_default_branch: bool,
    pull_request: int | None = None,
    from_fork: bool = False,
) -> Signal:
    if isinstance(check, CheckRun):
        name, conclusion, workflow = check.name, check.conclusion or "", check.workflow
        summary = "\n".join(part for part in (check.title, check.summary) if part)
        seen_at, link = check.completed_at or check.started_at, check.details_url
    else:
        name, conclusion, workflow = check.context, check.state, None
        summary, seen_at, link = check.description, check.created_at, check.target_url
    full_name = f"{workflow} / {name}" if workflow else name
    return Signal(
        repository=repository,
        key=f"{where}:{full_name}",
        version=head.oid,
        title=f"{full_name} failed on {where}",
        url=link or url,
        updated_at=seen_at or fallback_time,
        details=FailedCheck(
            check=name,
            conclusion=conclusion.lower(),
            branch=branch,
            head_sha=head.oid,
            pull_request=pull_request,
            workflow=workflow,
            summary=cut(summary, MAX_SUMMARY_CHARS),
            on_default_branch=on_default_branch,
            from_fork=from_fork,
        ),
    )


def _failed(head: Commit | None) -> Iterator[CheckRun | StatusContext]:
    rollup = head.status_check_rollup if head else None
    for check in rollup.contexts.nodes if rollup and rollup.contexts else ():
        if isinstance(check, CheckRun):
            if check.conclusion in FAILED_CONCLUSIONS:
                yield check
        elif check.state in FAILED_STATES:
            yield check


def newest_by_ref(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """The signals without those that share another's name: the newest stands for it (one job may run twice)."""
    kept: dict[str, Signal] = {}
    for signal in signals:
        known = kept.get(signal.ref)
        if known is None or known.updated_at < signal.updated_at:
            kept[signal.ref] = signal
    return tuple(kept.values())


def _labels(labels: Nodes[Label] | None) -> tuple[str, ...]:
    return tuple(sorted(label.name for label in labels.nodes)) if labels else ()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
