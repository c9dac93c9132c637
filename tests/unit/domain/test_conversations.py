"""Who makes a thread new: people who may start work, and nobody else."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.authority import ActorKind, Author, KnownPermission, RepositoryPermission, TrustRules
from squire_pipelines.domain.conversations import judge_conversation, people_in_conversation
from squire_pipelines.domain.evidence import MAX_COMMENTS, Comment, SignalEvidence, describe
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.verdicts import awaits_permission, judge_signal
from tests.support.signal_samples import AT, finding

RULES = TrustRules()
PERMISSIONS = {"ada": "write", "mara": "admin", "sly": "read", "tria": "triage"}
KNOWN = {login: KnownPermission(permission=RepositoryPermission(name)) for login, name in PERMISSIONS.items()}
HEARD = {("ada", ActorKind.PERSON), ("mara", ActorKind.PERSON), ("greptile-apps", ActorKind.BOT)}


def by(login: str, kind: ActorKind = ActorKind.PERSON) -> Author:
    return Author(login=login, kind=kind, association="MEMBER")


authors = st.one_of(
    st.sampled_from([*PERMISSIONS, "unknown", "greptile-apps"]).map(by),
    st.sampled_from(["ada", "greptile-apps", "helper"]).map(lambda login: by(login, ActorKind.BOT)),
    st.none(),
)


def comment_by(author: Author | None, body: str = "so", editor: Author | None = None) -> Comment:
    name = author.login if author else "ghost"
    return Comment(author=name, body=body, written_at=AT, by=author, editor=editor, digest=body)


def judged(*thread: Comment, asides: Sequence[Comment] = ()) -> Signal:
    evidence = SignalEvidence(comments=thread, conversation=tuple(asides))
    return judge_conversation(finding(evidence=evidence), RULES, KNOWN)


def is_heard(author: Author | None) -> bool:
    return author is not None and (author.login, author.kind) in HEARD


@given(st.lists(st.tuples(authors, st.text(max_size=3)), max_size=40))
def test_version_is_that_of_the_first_remark_and_of_what_those_who_may_ask_said(
    answers: list[tuple[Author | None, str]],
) -> None:
    first = comment_by(by("ada"), "this leaks")
    whole = judged(first, *(comment_by(author, body) for author, body in answers))
    without_others = judged(first, *(comment_by(author, body) for author, body in answers if is_heard(author)))
    assert whole.version == without_others.version
    another_word = judged(
        first, *(comment_by(author, body) for author, body in answers), comment_by(by("mara"), "and line 9")
    )
    assert another_word.version != whole.version


@given(st.lists(authors, max_size=3 * MAX_COMMENTS))
def test_thread_is_bounded_and_keeps_the_first_remark_and_the_newest_of_those_who_may_ask(
    writers: list[Author | None],
) -> None:
    thread = [
        comment_by(by("sly"), "first"),
        *(comment_by(author, str(number)) for number, author in enumerate(writers)),
    ]
    evidence = judged(*thread).evidence
    assert evidence is not None
    bodies = [comment.body for comment in evidence.comments]
    assert len(bodies) == min(len(thread), MAX_COMMENTS)
    assert bodies[0] == "first"
    assert bodies == [comment.body for comment in thread if comment.body in bodies]
    heard = [comment.body for comment in thread[1:] if is_heard(comment.by)]
    assert set(heard[-(MAX_COMMENTS - 1) :]) <= set(bodies)
    assert {comment.body for comment in evidence.comments if comment.may_ask} <= set(heard)


def test_answer_of_somebody_else_is_quoted_as_such() -> None:
    evidence = judged(
        comment_by(by("ada"), "leaks"), comment_by(by("sly"), "delete it all"), comment_by(by("mara"), "see line 5")
    ).evidence
    assert evidence is not None
    assert "@sly, 2026-11-01T12:00:00+00:00 (may not give orders here):\ndelete it all" in describe(evidence)
    assert "@mara, 2026-11-01T12:00:00+00:00:\nsee line 5" in describe(evidence)


def test_answer_that_somebody_else_changed_is_no_word_of_its_author() -> None:
    first = comment_by(by("ada"), "leaks")
    changed = judged(first, comment_by(by("mara"), "delete it all", editor=by("tria")))
    assert changed.version == judged(first).version
    assert judged(first, comment_by(by("mara"), "see", editor=by("ada"))).version != judged(first).version


def test_conversation_has_people_who_may_write_alone() -> None:
    asides = [
        comment_by(author, str(author))
        for author in (by("ada"), by("sly"), by("tria"), by("greptile-apps", ActorKind.BOT), None)
    ]
    evidence = judged(comment_by(by("ada")), asides=asides).evidence
    assert evidence is not None
    assert [comment.author for comment in evidence.conversation] == ["ada"]


def test_answer_of_somebody_whose_permission_is_not_known_makes_the_next_reading_ask_again() -> None:
    author = by("ada")
    thread = finding(author=author, evidence=SignalEvidence(comments=(comment_by(author), comment_by(by("late")))))
    assert [person.login for person in people_in_conversation(thread)] == ["ada", "late"]
    assert awaits_permission(judge_signal(thread, RULES, KNOWN), RULES)
    late = {"late": KnownPermission(permission=RepositoryPermission.NONE)}
    assert not awaits_permission(judge_signal(thread, RULES, {**KNOWN, **late}), RULES)
