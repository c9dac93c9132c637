"""From reviews to signals: threads with all that was said in them, reviews that ask for changes, findings of bots.

Pure. A remark's version is that of its words: no push makes a remark new.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime

from squire_pipelines.domain.evidence import MAX_COMMENTS, Comment, SignalEvidence
from squire_pipelines.domain.signals import ReviewFinding, Signal
from squire_pipelines.domain.text import shorten
from squire_pipelines.github.models import (
    Actor,
    PullRequest,
    PullRequestComment,
    Review,
    ReviewComment,
    ReviewThread,
)
from squire_pipelines.github.provenance import MAX_BODY_CHARS, author_of, labels_of_pull_request, provenance_of
from squire_pipelines.github.review_bots import BotFinding, BotSummary, judges_other_head, parse_finding, parse_summary
from squire_pipelines.github.signals import is_bot, login

_MAY_ASK = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_MAX_HUNK_CHARS = 4_000
_MAX_ANSWER_CHARS = 5_000
_MAX_ASIDE_CHARS = 2_000
_CHANGES_REQUESTED = "CHANGES_REQUESTED"
_SETTLES = frozenset({"APPROVED", "DISMISSED", _CHANGES_REQUESTED})


def review_findings(repository: str, pull: PullRequest) -> Iterator[Signal]:
    """Yield a signal for each remark on an open pull request that nobody has settled.

    These are the unresolved threads, on changed code too; the newest review of a person that asks for changes in words
    of its own; and the findings that a review bot wrote into a comment or a review instead of a thread.
    """
    conversation = _conversation(pull)
    threads = pull.review_threads.nodes if pull.review_threads else ()
    for thread in threads:
        if not thread.is_resolved and thread.comments.nodes:
            yield _of_thread(repository, pull, thread, conversation)
    for review in _open_requests(pull):
        yield _of_review(repository, pull, review, conversation)
    places = {(thread.path, thread.line or thread.original_line) for thread in threads}
    for source, summary in _bot_summaries(pull):
        for finding in summary.findings:
            if (finding.path, finding.line) not in places:  # else it has a thread, which may be resolved
                yield _of_bot(repository, pull, source, summary, finding)


def _of_thread(repository: str, pull: PullRequest, thread: ReviewThread, conversation: tuple[Comment, ...]) -> Signal:
    comments = thread.comments.nodes
    first = comments[0]
    finding = parse_finding(first.body) if is_bot(first.author) else None
    line = thread.line or thread.original_line
    return _signal(
        repository,
        pull,
        key=thread.id,
        version=_digest(*(comment.body for comment in comments), str(thread.comments.total_count)),
        source=first,
        updated_at=max(comment.updated_at for comment in comments),
        details={
            "body": shorten(first.body, MAX_BODY_CHARS),
            "path": thread.path or None,
            "line": line,
            "start_line": thread.start_line,
            "side": thread.diff_side.lower() if thread.diff_side else None,
            "outdated": thread.is_outdated,
            "severity": finding.severity if finding else None,
            "confidence": finding.confidence if finding else None,
        },
        evidence=SignalEvidence(
            comments=tuple(
                Comment(
                    author=login(comment.author),
                    body=shorten(comment.body, _MAX_ANSWER_CHARS),
                    written_at=comment.created_at or comment.updated_at,
                    state=None if comment.author_association in _MAY_ASK or is_bot(comment.author) else "a guest",
                )
                for comment in comments[:MAX_COMMENTS]
            ),
            conversation=conversation,
            diff_hunk=_end_of(first.diff_hunk),
            suggestion=(finding.suggestion or "") if finding else "",
        ),
    )


def _of_review(repository: str, pull: PullRequest, review: Review, conversation: tuple[Comment, ...]) -> Signal:
    judged = review.commit.oid if review.commit else None
    return _signal(
        repository,
        pull,
        key=review.id,
        version=_digest(review.body),
        source=review,
        updated_at=review.submitted_at or pull.updated_at,
        details={
            "body": shorten(review.body, MAX_BODY_CHARS),
            "outdated": judges_other_head(judged, pull.head_ref_oid),
            "judged_head": judged,
        },
        evidence=SignalEvidence(
            conversation=tuple(aside for aside in conversation if aside.written_at != review.submitted_at)
        ),
    )


def _of_bot(
    repository: str, pull: PullRequest, source: PullRequestComment | Review, summary: BotSummary, finding: BotFinding
) -> Signal:
    judged = summary.judged_head or (source.commit.oid if isinstance(source, Review) and source.commit else None)
    confidence = finding.confidence if finding.confidence is not None else summary.confidence
    written_at = source.submitted_at if isinstance(source, Review) else source.updated_at
    return _signal(
        repository,
        pull,
        # A summary is edited in place, and its findings change their order: each is known by its place and words.
        key=f"{source.id}:{_digest(finding.path or '', str(finding.line), finding.text)}",
        version=_digest(finding.text, finding.suggestion or ""),
        source=source,
        updated_at=written_at or pull.updated_at,
        details={
            "body": shorten(finding.text, MAX_BODY_CHARS),
            "path": finding.path,
            "line": finding.end_line or finding.line,
            "start_line": finding.line if finding.end_line else None,
            "outdated": judges_other_head(judged, pull.head_ref_oid),
            "severity": finding.severity,
            "confidence": confidence,
            "judged_head": judged,
        },
        evidence=SignalEvidence(suggestion=finding.suggestion or "") if finding.suggestion else None,
    )


def _signal(
    repository: str,
    pull: PullRequest,
    *,
    key: str,
    version: str,
    source: PullRequestComment | Review | ReviewComment,
    updated_at: object,
    details: dict[str, object],
    evidence: SignalEvidence | None,
) -> Signal:
    author = source.author
    path, line = details.get("path"), details.get("line")
    where = f", {path}{f':{line}' if line else ''}" if path else ""
    return Signal.model_validate(
        {
            "repository": repository,
            "key": key,
            "version": version,
            "title": f"Remark by {login(author)} on #{pull.number}{where}",
            "url": source.url,
            "updated_at": updated_at,
            "author": author_of(author, source.author_association),
            "provenance": provenance_of(source, approvals=labels_of_pull_request(pull)),
            "evidence": evidence,
            "details": ReviewFinding.model_validate(
                {
                    "pull_request": pull.number,
                    "pull_request_author": login(pull.author),
                    "thread": key,
                    "author": login(author),
                    "is_bot": is_bot(author),
                    "head_ref": pull.head_ref_name,
                    "head_sha": pull.head_ref_oid,
                    "from_fork": pull.is_cross_repository,
                    **details,
                }
            ),
        }
    )


def _open_requests(pull: PullRequest) -> Iterator[Review]:
    """Yield the reviews of people that ask for changes in words of their own and were not settled since."""
    newest: dict[str, Review] = {}
    for review in pull.reviews.nodes if pull.reviews else ():
        if review.state in _SETTLES and review.author is not None and not is_bot(review.author):
            newest[review.author.login] = review
    yield from (review for review in newest.values() if review.state == _CHANGES_REQUESTED and review.body.strip())


def _bot_summaries(pull: PullRequest) -> Iterator[tuple[PullRequestComment | Review, BotSummary]]:
    """Yield what bots said on the whole change: every comment, and of each bot's reviews the newest."""
    for comment in pull.comments.nodes if pull.comments else ():
        if is_bot(comment.author) and not comment.is_minimized:
            yield comment, parse_summary(comment.body)
    newest = {
        login(review.author): review
        for review in (pull.reviews.nodes if pull.reviews else ())
        if is_bot(review.author) and review.body.strip()
    }
    yield from ((review, parse_summary(review.body)) for review in newest.values())


def _conversation(pull: PullRequest) -> tuple[Comment, ...]:
    """Return what people who may ask said on the pull request itself, oldest first: it explains, and orders nothing."""
    comments = [
        _aside(comment.author, comment.body, comment.updated_at)
        for comment in (pull.comments.nodes if pull.comments else ())
        if _may_ask(comment.author, comment.author_association) and not comment.is_minimized
    ]
    comments += [
        _aside(review.author, review.body, review.submitted_at, review.state.lower())
        for review in (pull.reviews.nodes if pull.reviews else ())
        if _may_ask(review.author, review.author_association) and review.body.strip() and review.submitted_at
    ]
    return tuple(sorted(comments, key=lambda comment: comment.written_at)[-MAX_COMMENTS:])


def _aside(author: Actor | None, body: str, written_at: datetime, state: str | None = None) -> Comment:
    return Comment(author=login(author), body=shorten(body, _MAX_ASIDE_CHARS), written_at=written_at, state=state)


def _may_ask(author: Actor | None, association: str) -> bool:
    return association in _MAY_ASK and not is_bot(author)


def _end_of(hunk: str) -> str:
    """Return the head of a hunk and its end, which is where the remark stands."""
    head, _, lines = hunk.partition("\n")
    return hunk if len(hunk) <= _MAX_HUNK_CHARS else f"{head}\n…\n{lines[-_MAX_HUNK_CHARS:]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
