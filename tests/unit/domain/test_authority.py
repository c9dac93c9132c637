from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.authority import (
    ActorKind,
    Approval,
    Author,
    Provenance,
    RepositoryPermission,
    SignalDecision,
    TextChange,
    TrustRules,
    decided,
    is_permitted_person,
    is_trusted,
    judge,
    kind_of,
    standing_approval,
)
from squire_pipelines.domain.verdicts import apply_decision, awaits_permission, judge_signal
from tests.support.signal_samples import failed_check, issue

RULES = TrustRules(issue_labels=("squire",))
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def person(login: str, permission: RepositoryPermission | None) -> Author:
    return Author(login=login, kind=ActorKind.PERSON, permission=permission)


MAINTAINER = person("mara", RepositoryPermission.WRITE)
STRANGER = person("sly", RepositoryPermission.READ)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def labelled(minutes: int, *, by: Author | None = MAINTAINER, label: str = "squire") -> Approval:
    return Approval(label=label, by=by, at=at(minutes))


def edited(minutes: int, *, by: Author | None = STRANGER) -> TextChange:
    return TextChange(by=by, at=at(minutes))


def may_start(author: Author | None, **provenance: object) -> bool:
    history = Provenance.model_validate({"written_at": NOON, **provenance})
    return judge(author, history, RULES, ref="open_issue:1").may_start


@pytest.mark.parametrize(
    ("permission", "may"),
    [
        (RepositoryPermission.ADMIN, True),
        (RepositoryPermission.MAINTAIN, True),
        (RepositoryPermission.WRITE, True),
        (RepositoryPermission.TRIAGE, False),
        (RepositoryPermission.READ, False),
        (RepositoryPermission.NONE, False),
        (None, False),
    ],
)
def test_work_starts_from_people_with_write_permission(permission: RepositoryPermission | None, *, may: bool) -> None:
    assert may_start(person("x", permission)) is may


def test_the_association_alone_is_not_enough() -> None:
    owner_by_name = Author(login="x", kind=ActorKind.PERSON, association="OWNER", permission=None)
    assert not may_start(owner_by_name)


def test_review_bots_are_told_by_their_type_and_by_the_list() -> None:
    listed = {"login": "CodeRabbitAI"}
    assert may_start(Author(kind=ActorKind.BOT, **listed))
    assert may_start(Author(login="coderabbitai[bot]", kind=ActorKind.BOT))
    assert not may_start(Author(kind=ActorKind.PERSON, permission=RepositoryPermission.READ, **listed))
    assert not may_start(Author(kind=ActorKind.UNKNOWN, **listed))
    assert not may_start(Author(login="helper", kind=ActorKind.BOT, permission=RepositoryPermission.ADMIN))
    assert not may_start(None)


@pytest.mark.parametrize(
    ("typename", "kind"),
    [
        ("User", ActorKind.PERSON),
        ("Bot", ActorKind.BOT),
        ("Mannequin", ActorKind.UNKNOWN),
        ("Organization", ActorKind.UNKNOWN),
        ("EnterpriseUserAccount", ActorKind.UNKNOWN),
        ("", ActorKind.UNKNOWN),
    ],
)
def test_kinds_come_from_types(typename: str, kind: ActorKind) -> None:
    assert kind_of(typename) is kind


def test_a_strangers_issue_starts_work_when_a_permitted_person_labelled_it() -> None:
    assert may_start(STRANGER, approvals=(labelled(5),))
    assert may_start(STRANGER, approvals=(labelled(5, label="SQUIRE:Release"),))
    assert not may_start(STRANGER, approvals=(labelled(5, label="bug"),))
    assert not may_start(STRANGER, approvals=(labelled(5, by=STRANGER),))
    assert not may_start(STRANGER, approvals=(labelled(5, by=None),))
    bot = Author(login="coderabbitai", kind=ActorKind.BOT)
    assert not may_start(STRANGER, approvals=(labelled(5, by=bot),)), "a bot approves nothing"


def test_a_strangers_edit_after_the_label_asks_again() -> None:
    assert may_start(STRANGER, approvals=(labelled(5),), changes=(edited(4),))
    assert not may_start(STRANGER, approvals=(labelled(5),), changes=(edited(6),))
    assert not may_start(STRANGER, approvals=(labelled(5),), changes=(edited(5),)), "of the same second"
    assert not may_start(STRANGER, approvals=(labelled(5),), changes=(edited(6), edited(7, by=MAINTAINER)))


def test_an_edit_by_somebody_with_permission_is_fine() -> None:
    assert may_start(STRANGER, approvals=(labelled(5),), changes=(edited(6, by=MAINTAINER),))
    unknown = {"approvals": (labelled(5),), "changes": (edited(6, by=MAINTAINER),), "changes_complete": False}
    assert not may_start(STRANGER, **unknown), "somebody else may have edited it in between"


def test_a_label_that_was_set_before_the_text_was_written_approves_nothing() -> None:
    assert not may_start(STRANGER, approvals=(labelled(-1),))
    assert not may_start(STRANGER, approvals=(labelled(5),), written_at=None)


def test_a_permitted_persons_text_that_a_stranger_changed_is_held() -> None:
    assert may_start(MAINTAINER, changes=(edited(1, by=MAINTAINER),))
    assert not may_start(MAINTAINER, changes=(edited(1),))


def test_where_more_than_write_is_asked_for_an_unseen_edit_by_a_plain_writer_is_reckoned_with() -> None:
    strict = RULES.model_copy(update={"min_permission": RepositoryPermission.MAINTAIN})
    owner, writer = person("olga", RepositoryPermission.ADMIN), MAINTAINER
    bot = Author(login="coderabbitai", kind=ActorKind.BOT)

    def starts(author: Author, *changes: TextChange, complete: bool = True, rules: TrustRules = strict) -> bool:
        history = Provenance(written_at=NOON, changes=changes, changes_complete=complete)
        return judge(author, history, rules, ref="r").may_start

    assert not starts(writer)
    assert starts(owner, edited(2, by=owner))
    assert not starts(owner, edited(1, by=writer)), "a plain writer's edit is held"
    assert not starts(owner, edited(1, by=writer), edited(2, by=owner)), "and the owner's later one takes nothing back"
    assert not starts(owner, edited(2, by=owner), complete=False), "which may be all that is known of it"
    assert starts(owner, edited(2, by=owner), complete=False, rules=RULES)
    assert starts(bot, edited(2, by=bot), complete=False)
    history = Provenance(written_at=NOON, changes=(edited(2, by=owner),), changes_complete=False)
    assert "people with write permission may have" in judge(owner, history, strict, ref="r").reason
    labelled_later = history.model_copy(update={"approvals": (labelled(3, by=owner),)})
    assert judge(owner, labelled_later, strict, ref="r").may_start


def test_the_reason_says_who_may_release_it_and_how() -> None:
    verdict = judge(STRANGER, Provenance(written_at=NOON), RULES, ref="failed_ci:#7:CI / test")
    assert verdict.reason == (
        "@sly may not write here (permission read); a person with write permission can release it by the label "
        "`squire:release` or `squire signals release 'failed_ci:#7:CI / test'`"
    )
    changed = judge(
        STRANGER,
        Provenance(written_at=NOON, approvals=(labelled(5),), changes=(edited(6),)),
        RULES,
        ref="open_issue:1",
    )
    assert "the text was changed after @mara set the label `squire` on 2026-11-01 12:05 UTC" in changed.reason


permissions = st.none() | st.sampled_from(RepositoryPermission)
authors = st.none() | st.builds(
    Author,
    login=st.sampled_from(["mara", "sly", "greptile-apps", "greptile-apps[bot]", "helper"]),
    kind=st.sampled_from(ActorKind),
    association=st.sampled_from(["OWNER", "MEMBER", "NONE"]),
    permission=permissions,
)
moments = st.integers(-5, 20).map(at)
histories = st.builds(
    Provenance,
    written_at=st.none() | moments,
    changes=st.lists(st.builds(TextChange, by=authors, at=moments), max_size=4).map(tuple),
    changes_complete=st.booleans(),
    approvals=st.lists(
        st.builds(Approval, label=st.sampled_from(["squire", "squire:release", "bug"]), by=authors, at=moments),
        max_size=3,
    ).map(tuple),
)


def decision(*, release: bool, text_version: str = "v1", text_at: datetime | None = NOON) -> SignalDecision:
    return SignalDecision(release=release, by="cli:mara", at=at(10), text_version=text_version, text_at=text_at)


def test_a_decision_ends_with_the_next_version_by_somebody_without_permission() -> None:
    released = decision(release=True)

    def holds(version: str, *changes: TextChange, complete: bool = True) -> bool:
        history = Provenance(written_at=NOON, changes=changes, changes_complete=complete)
        return decided(released, history, RULES, text_version=version) is not None

    assert holds("v1")
    assert holds("v1", edited(20)), "the same text: what was changed is not in it"
    assert not holds("v2")
    assert not holds("v2", edited(20))
    assert holds("v2", edited(20, by=MAINTAINER))
    assert not holds("v2", edited(15), edited(20, by=MAINTAINER))
    assert not holds("v2", edited(20, by=MAINTAINER), complete=False)


def test_a_release_of_a_text_without_a_history_is_about_this_version_alone() -> None:
    branch = decision(release=True, text_at=None)
    assert decided(branch, Provenance(), RULES, text_version="v2") is None


@given(histories, st.sampled_from(["v1", "v2"]), st.none() | moments)
def test_a_hold_lasts_whatever_becomes_of_the_text(history: Provenance, version: str, text_at: datetime | None) -> None:
    verdict = decided(decision(release=False, text_at=text_at), history, RULES, text_version=version)
    assert verdict is not None
    assert (verdict.may_start, verdict.released) == (False, False)


@given(histories)
def test_a_standing_approval_is_of_a_permitted_person_and_ends_with_the_first_word_of_another(
    history: Provenance,
) -> None:
    standing = standing_approval(history, RULES)
    if standing is None:
        return
    assert is_permitted_person(standing.approval.by, RULES)
    assert history.changes_complete
    assert history.written_at is not None
    assert history.written_at < standing.approval.at < standing.until
    between = [change for change in history.changes if standing.approval.at <= change.at < standing.until]
    assert all(is_permitted_person(change.by, RULES) for change in between)
    assert not judge(STRANGER, history, RULES, ref="r").may_start, "the present text was not approved"


@pytest.mark.parametrize("verdict", [True, False])
@pytest.mark.parametrize("key", ["main:CI / test", "#7:CI / lint"])
def test_a_decision_about_a_check_holds_for_its_name_and_branch_until_the_opposite(key: str, *, verdict: bool) -> None:
    checked = failed_check().model_copy(update={"key": key, "version": "a" * 40})
    made = decision(release=verdict, text_version=checked.text_version, text_at=None)
    for version in ("a" * 40, f"{'a' * 40}:waits", "b" * 40):
        later = checked.model_copy(update={"version": version, "verdict": None})
        applied = apply_decision(later, made, RULES).verdict
        assert applied is not None
        assert (applied.may_start, applied.released) == (verdict, verdict)
    other = failed_check("other").model_copy(update={"version": "a" * 40})
    assert other.text_version != checked.text_version


@given(author=authors, history=histories)
def test_nothing_starts_work_unless_somebody_permitted_stands_behind_it(
    author: Author | None, history: Provenance
) -> None:
    """Who wrote it is trusted, or a permitted person set a label after every stranger's word."""
    if not judge(author, history, RULES, ref="r").may_start:
        return
    approvers = [approval for approval in history.approvals if is_permitted_person(approval.by, RULES)]
    assert is_trusted(author, RULES) or approvers
    if not is_trusted(author, RULES):
        newest = max(approval.at for approval in approvers)
        strangers = [change for change in history.changes if not is_permitted_person(change.by, RULES)]
        assert all(change.at < newest for change in strangers)


@given(histories)
def test_where_more_than_write_is_asked_for_a_text_of_unknown_history_needs_a_label_after_it(
    history: Provenance,
) -> None:
    strict = RULES.model_copy(update={"min_permission": RepositoryPermission.MAINTAIN})
    unknown = history.model_copy(update={"changes_complete": False})
    if judge(person("olga", RepositoryPermission.ADMIN), unknown, strict, ref="r").may_start:
        approved = [approval.at for approval in unknown.approvals if is_permitted_person(approval.by, strict)]
        assert all(change.at < max(approved) for change in unknown.changes)
        assert approved


@given(author=authors, history=histories, edit=st.builds(TextChange, by=st.just(STRANGER), at=moments))
def test_a_strangers_edit_never_releases_anything(author: Author | None, history: Provenance, edit: TextChange) -> None:
    before = judge(author, history, RULES, ref="r").may_start
    changed = history.model_copy(update={"changes": (*history.changes, edit)})
    assert before or not judge(author, changed, RULES, ref="r").may_start


def test_a_signal_that_wants_githubs_word_is_to_be_read_again() -> None:
    def awaits(author: Author, provenance: Provenance | None = None) -> bool:
        known = judge_signal(issue(author=author, provenance=provenance), RULES, {})
        return awaits_permission(known, RULES)

    assert awaits(person("sly", None))
    assert not awaits(person("sly", RepositoryPermission.READ))
    assert not awaits(MAINTAINER)
    assert not awaits(Author(login="helper", kind=ActorKind.BOT)), "no bot is asked about"
    by_unknown = Provenance(written_at=NOON, approvals=(labelled(5, by=person("x", None)),))
    assert awaits(person("sly", RepositoryPermission.READ), provenance=by_unknown)
