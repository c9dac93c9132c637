"""From reviews to signals: threads with all that was said in them, reviews that ask for changes, findings of bots.

Pure. A remark's version is that of its words: no push makes a remark new.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime

from squire_pipelines.domain.authority import ActorKind, Author
from squire_pipelines.domain.evidence import Comment, SignalEvidence
from squire_pipelines.domain.signals import ReviewFinding, Signal
from squire_pipelines.domain.text import shorten
from squire_pipelines.github.models import (
    PullRequest,
    PullRequestComment,
    Review,
    ReviewComment,
    ReviewThread,
)
from squire_pipelines.github.provenance import MAX_BODY_CHARS, author_of, labels_of_pull_request, provenance_of
from squire_pipelines.github.review_bots import BotFinding, BotSummary, judges_other_head, parse_finding, parse_summary
from squire_pipelines.github.signals import is_bot, login

_GONE = Author(login="ghost", kind=ActorKind.UNKNOWN)
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
    asides = _asides(pull)
    conversation = tuple(comment for _, comment in asides)
    threads = pull.review_threads.nodes if pull.review_threads else ()
    for thread in threads:
        if not thread.is_resolved and thread.comments.nodes:
            yield _of_thread(repository, pull, thread, conversation)
    for review in _open_requests(pull):
        yield _of_review(repository, pull, review, tuple(comment for name, comment in asides if name != review.id))
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
        version=_digest(first.body),  # with its answers, once it is known who may ask
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
                _comment(comment, comment.created_at or comment.updated_at, limit=_MAX_ANSWER_CHARS)
                for comment in comments
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
        evidence=SignalEvidence(conversation=conversation),
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


def _asides(pull: PullRequest) -> list[tuple[str, Comment]]:
    """Return what people said on the pull request itself, oldest first, by its id: it explains, and orders nothing.

    Who of them is heard is decided once their permissions are known.
    """
    comments = [
        (comment.id, _comment(comment, comment.updated_at))
        for comment in (pull.comments.nodes if pull.comments else ())
        if not is_bot(comment.author) and not comment.is_minimized
    ]
    comments += [
        (review.id, _comment(review, review.submitted_at, state=review.state.lower()))
        for review in (pull.reviews.nodes if pull.reviews else ())
        if not is_bot(review.author) and review.body.strip() and review.submitted_at
    ]
    return sorted(comments, key=lambda item: item[1].written_at)


def _comment(
    source: PullRequestComment | Review | ReviewComment,
    written_at: datetime,
    *,
    limit: int = _MAX_ASIDE_CHARS,
    state: str | None = None,
) -> Comment:
    return Comment(
        author=login(source.author),
        body=shorten(source.body, limit),
        written_at=written_at,
        state=state,
        by=author_of(source.author, source.author_association),
        editor=(author_of(source.editor) or _GONE) if source.last_edited_at else None,
        digest=_digest(source.body),
    )


def _end_of(hunk: str) -> str:
    """Return the head of a hunk and its end, which is where the remark stands."""
    head, _, lines = hunk.partition("\n")
    return hunk if len(hunk) <= _MAX_HUNK_CHARS else f"{head}\n…\n{lines[-_MAX_HUNK_CHARS:]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
