"""Who is heard in a conversation: people who may ask make a remark what it is, and others are quoted as such. Pure.

Anybody may answer in a thread. Its version is that of its first remark and of what people who may start work said to
it, so that nobody else makes it new.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from squire_pipelines.domain.authority import (
    ActorKind,
    Author,
    KnownPermission,
    TrustRules,
    is_permitted_person,
    is_trusted,
    with_permission,
)
from squire_pipelines.domain.evidence import MAX_COMMENTS, Comment
from squire_pipelines.domain.signals import Signal

OWN_ANSWER = "<!-- squire answers by "
"""How Squire's own answers in a thread begin: they ask for nothing, and make no remark new."""


def judge_conversation(signal: Signal, rules: TrustRules, known: Mapping[str, KnownPermission]) -> Signal:
    """Return a remark with the version of its thread, and with what is kept of its thread and conversation.

    Other signals, and remarks that stand alone, are returned as they are.
    """
    evidence = signal.evidence
    if evidence is None or not (evidence.comments or evidence.conversation):
        return signal
    thread = [_judge(comment, rules, known) for comment in evidence.comments]
    talk = [_judge(comment, rules, known) for comment in evidence.conversation]
    asides = [comment for comment in talk if comment.may_ask and is_permitted_person(comment.by, rules)]
    kept = evidence.model_copy(
        update={"comments": tuple(_most_telling(thread)), "conversation": tuple(asides[-MAX_COMMENTS:])}
    )
    update = {"evidence": kept, "version": _version(thread) if thread else signal.version}
    return signal.model_copy(update=update)


def people_in_conversation(signal: Signal) -> Iterator[Author]:
    """Yield the people whose permission decides what is heard, those of the thread first."""
    for comment in (*signal.evidence.comments, *signal.evidence.conversation) if signal.evidence else ():
        yield from (who for who in (comment.by, comment.editor) if who is not None and who.kind is ActorKind.PERSON)


def _judge(comment: Comment, rules: TrustRules, known: Mapping[str, KnownPermission]) -> Comment:
    author, editor = with_permission(comment.by, known), with_permission(comment.editor, known)
    may_ask = is_trusted(author, rules) and (editor is None or is_trusted(editor, rules))
    return comment.model_copy(update={"by": author, "editor": editor, "may_ask": may_ask})


def _version(thread: Sequence[Comment]) -> str:
    """Return the version of a thread; the first remark is judged as the signal itself."""
    first, *answers = thread
    heard = [first.digest, *(answer.digest for answer in answers if answer.may_ask and not _is_own(answer))]
    return hashlib.sha256("\x00".join(heard).encode()).hexdigest()[:16]


def _is_own(comment: Comment) -> bool:
    return comment.body.startswith(OWN_ANSWER)


def _most_telling(thread: Sequence[Comment]) -> list[Comment]:
    """Return as many of a thread's comments as are kept: the first, then the newest of those who may ask."""
    if len(thread) <= MAX_COMMENTS:
        return list(thread)
    newest_first = sorted(range(1, len(thread)), key=lambda place: (thread[place].may_ask, place), reverse=True)
    return [thread[place] for place in sorted([0, *newest_first[: MAX_COMMENTS - 1]])]
