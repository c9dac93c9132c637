"""Tells people on GitHub what Squire did on its own pull requests: answers to remarks, and that it leaves one to them.

What is told is recorded afterwards: a crash in between tells it again, which GitHub's own record of us prevents. The
try is recorded before, so that what GitHub refuses, as on a locked or archived one, is tried a few times and given up.
"""

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, replace

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.domain.change import JudgedTask
from squire_pipelines.domain.conversations import OWN_ANSWER
from squire_pipelines.domain.following import NO_WORK
from squire_pipelines.domain.outcomes import Mergeability, PullRequestState
from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.execution.pull_request_story import last_words
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.github.pulls import add_labels
from squire_pipelines.github.remark_answers import AnswerMarks, PullPlace, RemarkAnswer, answer_remarks
from squire_pipelines.ledger import attempts, base_merges, followed_pulls, tasks
from squire_pipelines.ledger.followed_pulls import Followed, OwnWork
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.telling_tries import MAX_TRIES
from squire_pipelines.ledger.vanished_pulls import VANISHED
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.follow_words import (
    ANSWERS,
    GOES_ON,
    TAKEN_UP,
    ReplyToRemark,
    WorkDone,
    answers,
    last_answer,
    left_to_people,
)
from squire_pipelines.publishing.inspection import inspect_text
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.secrets.lookup import all_secrets
from squire_pipelines.settings.model import Settings

_PREFIX = "review_finding:"


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be told of one pull request: the rounds of remarks to answer, and why it is left to people.

    Of one that was left to them and is `taken_up` again, by a person's word or GitHub's, the comment says so no longer.
    """

    followed: Followed
    rounds: tuple[OwnWork, ...]
    left_to_people: str | None
    taken_up: bool = False


def has_to_tell(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether there is anything to tell on GitHub. Changes nothing."""
    return next(_to_tell(ledger, settings_of), None) is not None


async def tell(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Tell all that is to be told; return of how many pull requests. What fails is tried again later, a few times."""
    pulls = 0
    for news in list(_to_tell(ledger, settings_of)):
        outcome = news.followed.outcome
        with ledger.write() as tx:
            tries = followed_pulls.begin_telling(tx, outcome.task_id)
        if tries is None:
            continue
        settings = settings_of(outcome.repository)
        errors = [
            error
            for error in (
                await _error_of(_answer_all(ledger, client, settings, news)),
                await _error_of(_hand_over(ledger, client, settings, news)),
            )
            if error is not None
        ]
        pulls += not errors
        _record_end(ledger, news, tries, "; ".join(errors), log)
    return pulls


async def _error_of(telling: Awaitable[None]) -> str | None:
    """Return why something could not be said; None where it was."""
    try:
        await telling
    except SquireError as error:
        return str(error)
    return None


def _record_end(ledger: Ledger, news: _Told, tries: int, error: str, log: RunLog) -> None:
    """Record how a try ended; after the last, what could not be said counts as said."""
    outcome = news.followed.outcome
    gives_up = bool(error) and tries >= MAX_TRIES
    with ledger.write() as tx:
        if gives_up and news.rounds:
            followed_pulls.record_answered(tx, outcome.task_id, news.rounds[-1].task_id)
        if gives_up and (news.left_to_people is not None or news.taken_up):
            followed_pulls.record_announced(tx, outcome.task_id, news.left_to_people)
        if gives_up or not error:
            followed_pulls.end_telling(tx, outcome.task_id, error=error or None)
        else:
            followed_pulls.record_tell_error(tx, outcome.task_id, error)
    if error:
        place = f"{outcome.repository}#{outcome.pr_number}"
        then = f"given up after {tries} tries" if gives_up else "it is tried again later"
        log.warning("%s: not all could be said there, %s: %s", place, then, error)


def _to_tell(ledger: Ledger, settings_of: SettingsOf) -> Iterator[_Told]:
    with ledger.read() as tx:
        followed_ones, now = followed_pulls.read_followed(tx), tx.now
    for followed in followed_ones:
        outcome = followed.outcome
        waits = outcome.tell_again_at is not None and outcome.tell_again_at > now
        if waits or outcome.state is not PullRequestState.OPEN:
            continue
        rounds = tuple(
            work
            for work in followed.work
            if work.follow_up is not None
            and work.follow_up.kind is FollowUpKind.REMARKS
            and work.status.is_final
            and work.task_id > (outcome.answered_task_id or "")
        )
        comments = settings_of(outcome.repository).follow_for(outcome.repository).comment
        is_known = outcome.handed_over in {
            outcome.announced_reason,
            VANISHED,
        }  # on what has vanished nothing can be said
        reason = outcome.handed_over if comments and not is_known else None
        taken_up = comments and outcome.handed_over is None and outcome.announced_reason is not None
        if rounds or reason is not None or taken_up:
            yield _Told(followed, rounds, reason, taken_up=taken_up)


async def _answer_all(ledger: Ledger, client: GitHubClient, settings: Settings, news: _Told) -> None:
    outcome = news.followed.outcome
    for work in news.rounds:
        await _answer(ledger, client, settings, news.followed, work)
        with ledger.write() as tx:
            followed_pulls.record_answered(tx, outcome.task_id, work.task_id)


async def _hand_over(ledger: Ledger, client: GitHubClient, settings: Settings, news: _Told) -> None:
    outcome = news.followed.outcome
    if news.left_to_people is None and not news.taken_up:
        return
    text = GOES_ON if outcome.announced_reason == NO_WORK and outcome.taken_up_at is None else TAKEN_UP
    if news.left_to_people is not None:
        tried = [_done(ledger, settings, work) for work in news.followed.work if work.follow_up is not None]
        text = left_to_people(news.left_to_people, tried)
    place = (outcome.repository, outcome.pr_number)
    await put_part(client, *place, CommentPart.FOLLOW, published_text(settings, text))
    if news.left_to_people is not None:
        await _label_conflict(ledger, client, settings, news.followed)
    with ledger.write() as tx:
        followed_pulls.record_announced(tx, outcome.task_id, news.left_to_people)


async def _label_conflict(ledger: Ledger, client: GitHubClient, settings: Settings, followed: Followed) -> None:
    """Label a pull request whose conflict with its base is left to people."""
    outcome = followed.outcome
    label = settings.follow_for(outcome.repository).conflict_label
    if label and outcome.mergeability == Mergeability.CONFLICTING and followed.base_merges:
        await add_labels(client, outcome.repository, outcome.pr_number, [label])
        with ledger.write() as tx:
            base_merges.set_labelled(tx, outcome.task_id, labelled=True)


async def _answer(ledger: Ledger, client: GitHubClient, settings: Settings, followed: Followed, work: OwnWork) -> None:
    """Answer each remark, in the order in which the agent was given them; the last answer in a thread says so."""
    if work.status is TaskStatus.CANCELLED:
        return  # a person's word: nobody has to hear of it
    with ledger.read() as tx:
        refs = tasks.get(tx, work.task_id).spec.signals
    done = _done(ledger, settings, work)
    follow = settings.follow_for(followed.outcome.repository)
    most = follow.max_answers_of_thread
    replies = tuple(
        RemarkAnswer(
            ref.removeprefix(_PREFIX),
            last_answer(text, most) if followed.rounds_of(ref, until=work.task_id) == most else text,
            follow.resolve_threads and answer.settled,
        )
        for ref, answer in zip(refs, answers(done, len(refs)), strict=True)
        for text in [_checked(settings, done, answer)]
    )
    outcome = followed.outcome
    marks = AnswerMarks(f"{OWN_ANSWER}{work.task_id} -->", f"{OWN_ANSWER}comment {outcome.task_id} -->", ANSWERS)
    await answer_remarks(client, PullPlace(outcome.repository, outcome.pr_number), marks, replies)


def _done(ledger: Ledger, settings: Settings, work: OwnWork) -> WorkDone:
    """Return how a round of work ended, with what its agent said where the folder of its attempt is still there."""
    with ledger.read() as tx:
        tried = attempts.of_task(tx, work.task_id)
    if not tried:
        return WorkDone(work.task_id, None, None, f"it was {work.status}", "")
    last = tried[-1]
    # The cause alone: a message may name folders of the host.
    failure = f"{last.cause or work.status}" if work.status is not TaskStatus.SUCCEEDED else None
    pushed = last.head_sha if last.pr_number is not None else None
    transcript = AttemptCopy(settings, last.id, quick=True).kept(TRANSCRIPT)
    words = last_words(transcript.parent) if transcript is not None else ""
    return WorkDone(work.task_id, last.id, pushed, failure, words)


def _checked(settings: Settings, work: WorkDone, answer: ReplyToRemark) -> str:
    """Return an answer that passes what a pull request's text passes; without the agent's words where they do not."""
    text = published_text(settings, answer.text)
    task = JudgedTask(attempt_id=work.attempt_id, known_secrets=tuple(secret.reveal() for secret in _secrets(settings)))
    if not inspect_text(text, task, settings.publishing).findings:
        return text
    (plain,) = answers(replace(work, failure=None, words=""), 1)
    return plain.text


def published_text(settings: Settings, text: str) -> str:
    """Return a text as it may be published: without the secrets that Squire knows."""
    return Redactor(_secrets(settings)).redact(text)


def _secrets(settings: Settings) -> tuple[Secret, ...]:
    return tuple(all_secrets(settings.secret_sources, settings.named_secrets))
