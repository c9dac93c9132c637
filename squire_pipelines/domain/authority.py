"""Who stands behind a fact, and whether it may start work: authors, what they may do, and the one rule that judges.

Text is data, and authority decides. Whoever reads facts fills in what GitHub says of the people; nothing is asked here.
"""

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from squire_pipelines.domain.frozen import FrozenModel

DEFAULT_BOTS = ("greptile-apps", "coderabbitai", "cursor", "copilot-pull-request-reviewer")
"""The review bots whose remarks start work, by the login of their App."""

MAX_APPROVALS = 100
DEFAULT_RELEASE_LABEL = "squire:release"
DEFAULT_APPROVE_LABEL = "squire:approve"
DEFAULT_REJECT_LABEL = "squire:reject"
_BOT_SUFFIX = "[bot]"  # REST appends it to an App's login, GraphQL does not


class ActorKind(StrEnum):
    """What an account is, as GitHub's types tell. A login tells nothing: a person may be called like a bot."""

    PERSON = "person"
    BOT = "bot"
    APP = "app"
    UNKNOWN = "unknown"


class RepositoryPermission(StrEnum):
    """What a collaborator may do in a repository, from the least to the most."""

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The position in that order."""
        return list(RepositoryPermission).index(self)


class Author(FrozenModel):
    """Somebody who did something in a repository.

    `permission` is None where it was not asked for or GitHub did not say; `note` then says why, as it does for a
    permission of none.
    """

    login: str
    kind: ActorKind
    association: str = "NONE"
    permission: RepositoryPermission | None = None
    note: str = ""


class TextChange(FrozenModel):
    """A later change of a text: by whom (None: the account is gone) and when."""

    by: Author | None = None
    at: datetime


class KnownPermission(FrozenModel):
    """What is known of a person's permission in a repository; see `Author`."""

    permission: RepositoryPermission | None
    note: str = ""


class Approval(FrozenModel):
    """A label that stands on an issue or pull request: who set it last (None: not known), and when."""

    label: str
    by: Author | None = None
    at: datetime


class Provenance(FrozenModel):
    """What became of a fact's text after it was written, and the labels that may approve it.

    `changes` may lack some when `changes_complete` is False; the newest is always there. `written_at` is None where the
    fact has no text that somebody wrote.
    """

    written_at: datetime | None = None
    changes: tuple[TextChange, ...] = ()
    changes_complete: bool = True
    approvals: tuple[Approval, ...] = Field(default=(), max_length=MAX_APPROVALS)

    @property
    def changed_at(self) -> datetime | None:
        """The time since which the text is as it is."""
        return max((change.at for change in self.changes), default=self.written_at)


class SignalDecision(FrozenModel):
    """What a person decided by command about a fact, and which text they decided about."""

    release: bool
    by: str
    at: datetime
    reason: str = ""
    text_version: str
    text_at: datetime | None = None


class StartVerdict(FrozenModel):
    """Whether a fact may start work, and why. `released`: a person let this very fact pass."""

    may_start: bool
    reason: str
    released: bool = False


class TrustRules(FrozenModel):
    """Who may start work in a repository; see `[trust]` in the settings. `issue_labels` approve an issue's text."""

    bots: tuple[str, ...] = DEFAULT_BOTS
    min_permission: RepositoryPermission = RepositoryPermission.WRITE
    release_label: str = DEFAULT_RELEASE_LABEL
    issue_labels: tuple[str, ...] = ()


def kind_of(typename: str) -> ActorKind:
    """Return the kind of an account by its type, `__typename` of GraphQL and `type` of REST."""
    match typename:
        case "User":
            return ActorKind.PERSON
        case "Bot":
            return ActorKind.BOT
        case "App" | "Integration":
            return ActorKind.APP
        case _:
            return ActorKind.UNKNOWN


def is_permitted_person(author: Author | None, rules: TrustRules) -> bool:
    """Return whether this is a person with the permission that the rules ask for: such a person may approve."""
    return (
        author is not None
        and author.kind is ActorKind.PERSON
        and author.permission is not None
        and author.permission.rank >= rules.min_permission.rank
    )


def is_trusted(author: Author | None, rules: TrustRules) -> bool:
    """Return whether what this account writes may start work: a permitted person, or a bot of the list."""
    if author is None or author.kind not in {ActorKind.BOT, ActorKind.APP}:
        return is_permitted_person(author, rules)
    return bot_name(author.login) in {bot_name(name) for name in rules.bots}


def bot_name(login: str) -> str:
    """Return a bot's login as it is compared: in one case, and without what REST appends."""
    return login.casefold().removesuffix(_BOT_SUFFIX)


def decided(
    decision: SignalDecision, provenance: Provenance, rules: TrustRules, *, text_version: str
) -> StartVerdict | None:
    """Return what a person decided by command; None when what was released is another text than the present one.

    A hold is about the fact, whatever becomes of its text: it lasts until somebody releases it.
    """
    if decision.release and not _is_about(decision, provenance, rules, text_version):
        return None
    who = f"released by {decision.by}" if decision.release else f"{decision.by} held it"  # after "yes: " and "held: "
    reason = f": {decision.reason}" if decision.reason else ""
    return StartVerdict(
        may_start=decision.release,
        reason=f"{who} on {_day(decision.at)}{reason}",
        released=decision.release,
    )


def judge(author: Author | None, provenance: Provenance, rules: TrustRules, *, ref: str) -> StartVerdict:
    """Judge whether a fact may start work. The same author is judged alike, wherever the fact was read.

    The author must be trusted, and so must whoever else changed the text; or a permitted person approved the text by a
    label, and nobody without permission changed it after that. Of a trusted author's text whose history is not whole,
    the newest change is judged: at GitHub only its author and people with write permission can change a text. Where
    the rules ask for more than that, a person's text needs a label that was set after its newest change.

    Args:
        author: Who wrote it, or whose branch it is about; None when the account is gone.
        provenance: What became of its text.
        rules: Of the repository.
        ref: How the fact is called, for the words that say how it is released.
    """
    strangers = [change for change in provenance.changes if not is_trusted(change.by, rules)]
    # An author's own edit is judged with the author.
    foreign = [change for change in strangers if author is None or not _is_same(change.by, author)]
    if is_trusted(author, rules) and not foreign and not _may_have_unseen_changes(author, provenance, rules):
        return StartVerdict(may_start=True, reason=_may(author))
    approvals = valid_approvals(provenance, rules)
    standing = [approval for approval in approvals if not _changed_after(provenance, rules, approval.at)]
    if standing:
        approval = max(standing, key=lambda item: (_releases(item, rules), item.at))
        return StartVerdict(
            may_start=True,
            reason=f"approved as it stood on {_day(approval.at)}: {_how(approval)} was set by {_may(approval.by)}",
            released=_releases(approval, rules),
        )
    reasons = (*_objections(author, foreign, provenance, rules), _way(ref, rules))
    return StartVerdict(may_start=False, reason="; ".join(reasons))


class StandingApproval(FrozenModel):
    """A label that approved a text, and when the approved text ended: somebody without permission changed it then."""

    approval: Approval
    until: datetime


def standing_approval(provenance: Provenance, rules: TrustRules) -> StandingApproval | None:
    """Return the newest label that approved a text which was changed later; None where nobody knows which text.

    What is of the same second as the label may have come before or after it.
    """
    approvals = valid_approvals(provenance, rules)
    newest = max(approvals, key=lambda approval: approval.at, default=None)
    if newest is None or not provenance.changes_complete or _is_written_later(provenance, newest.at):
        return None
    later = [change for change in provenance.changes if change.at >= newest.at]
    foreign = [change.at for change in later if not is_permitted_person(change.by, rules)]
    if not foreign or any(change.at == newest.at for change in later):
        return None
    return StandingApproval(approval=newest, until=min(foreign))


def judge_approved(standing: StandingApproval, rules: TrustRules, *, ref: str) -> StartVerdict:
    """Return the verdict on a text as it was approved, which is no longer the present one."""
    approval = standing.approval
    return StartVerdict(
        may_start=True,
        reason=f"as it stood until {_day(standing.until)}, after {_how(approval)} was set by {_may(approval.by)}; the "
        f"text was changed then, and what is new in it is held: {_way(ref, rules)}",
        released=_releases(approval, rules),
    )


def valid_approvals(provenance: Provenance, rules: TrustRules) -> list[Approval]:
    """Return the labels that somebody set who may, whatever became of the text later."""
    return [approval for approval in _counting(provenance, rules) if is_permitted_person(approval.by, rules)]


def people_of(author: Author | None, provenance: Provenance, rules: TrustRules) -> Iterator[Author]:
    """Yield the people whose permission decides, the author first."""
    everybody = (
        author,
        *(approval.by for approval in _counting(provenance, rules)),
        *(change.by for change in provenance.changes),
    )
    yield from (somebody for somebody in everybody if somebody is not None and somebody.kind is ActorKind.PERSON)


def with_permission(author: Author | None, known: Mapping[str, KnownPermission]) -> Author | None:
    """Return the author with what is known of this person, by the login in one case; others are left as they are."""
    if author is None or author.kind is not ActorKind.PERSON or (answer := known.get(author.login.casefold())) is None:
        return author
    return author.model_copy(update={"permission": answer.permission, "note": answer.note})


def with_permissions(provenance: Provenance, known: Mapping[str, KnownPermission]) -> Provenance:
    """Return the same with what is known of everybody in it."""
    return provenance.model_copy(
        update={
            "changes": tuple(
                change.model_copy(update={"by": with_permission(change.by, known)}) for change in provenance.changes
            ),
            "approvals": tuple(
                approval.model_copy(update={"by": with_permission(approval.by, known)})
                for approval in provenance.approvals
            ),
        }
    )


def _is_about(decision: SignalDecision, provenance: Provenance, rules: TrustRules, text_version: str) -> bool:
    """Return whether a decision still holds: for the text that it was made of, or one that only permitted people made.

    A text without a known history (a branch) is another one with each version.
    """
    if decision.text_version == text_version:
        return True
    if decision.text_at is None or not provenance.changes_complete:
        return False
    later = [change for change in provenance.changes if change.at > decision.text_at]
    return bool(later) and all(is_permitted_person(change.by, rules) for change in later)


def _changed_after(provenance: Provenance, rules: TrustRules, moment: datetime) -> bool:
    """Return whether somebody without permission has, or may have, written or changed the text after that time."""
    # GitHub tells times to the second: what is of the same second may have come after.
    later = [change for change in provenance.changes if change.at >= moment]
    unknown = bool(later) and not provenance.changes_complete
    permitted = all(is_permitted_person(change.by, rules) for change in later)
    return unknown or not permitted or _is_written_later(provenance, moment)


def _may_have_unseen_changes(author: Author | None, provenance: Provenance, rules: TrustRules) -> bool:
    """Return whether people with write permission, which the rules do not trust, may have changed a person's text.

    A bot writes its text whole each time, so that its newest change leaves nothing of somebody else's.
    """
    asks_more = rules.min_permission.rank > RepositoryPermission.WRITE.rank
    return asks_more and not provenance.changes_complete and author is not None and author.kind is ActorKind.PERSON


def _is_written_later(provenance: Provenance, moment: datetime) -> bool:
    return provenance.written_at is None or provenance.written_at >= moment


def _counting(provenance: Provenance, rules: TrustRules) -> list[Approval]:
    """Return the labels that approve a text, whoever set them."""
    names = {label.casefold() for label in (rules.release_label, *rules.issue_labels)}
    return [approval for approval in provenance.approvals if approval.label.casefold() in names]


def _releases(approval: Approval, rules: TrustRules) -> bool:
    return approval.label.casefold() == rules.release_label.casefold()


def _how(approval: Approval) -> str:
    return f"the label `{approval.label}`"


def _is_same(one: Author | None, other: Author) -> bool:
    return one is not None and (one.kind, one.login.casefold()) == (other.kind, other.login.casefold())


def _objections(
    author: Author | None, foreign: list[TextChange], provenance: Provenance, rules: TrustRules
) -> Iterator[str]:
    if not is_trusted(author, rules):
        yield _may_not(author, rules)
    elif not foreign:
        yield "who changed the text before its newest change is not known, and people with write permission may have"
    for change in foreign:
        yield f"the text was changed on {_day(change.at)} by somebody else: {_may_not(change.by, rules)}"
    for approval in _counting(provenance, rules):
        if approval.by is None:
            yield f"who set {_how(approval)} is not known"
        elif not is_permitted_person(approval.by, rules):
            yield f"{_how(approval)} was set, but {_may_not(approval.by, rules, as_approver=True)}"
        elif _is_written_later(provenance, approval.at):
            yield f"{_how(approval)} was set before this was written"
        elif _changed_after(provenance, rules, approval.at):
            yield f"the text was changed after {_name(approval.by)} set {_how(approval)} on {_day(approval.at)}"


def _way(ref: str, rules: TrustRules) -> str:
    return (
        f"a person with {rules.min_permission} permission can release it by the label `{rules.release_label}` or "
        f"`squire signals release {shlex.quote(ref)}`"
    )


def _may(author: Author | None) -> str:
    if author is not None and author.kind is not ActorKind.PERSON:
        return f"{_name(author)} is a bot of the list `trust.bots`"
    return f"{_name(author)}, who has {author.permission if author else None} permission here"


def _may_not(author: Author | None, rules: TrustRules, *, as_approver: bool = False) -> str:
    if author is None:
        return "its author's account is gone"
    if author.kind is not ActorKind.PERSON:
        kind = "a bot" if author.kind in {ActorKind.BOT, ActorKind.APP} else "neither a person nor a bot"
        rest = "and only a person can approve" if as_approver else "that is not in the list `trust.bots`"
        return f"{_name(author)} is {kind} {rest}"
    if author.permission is None:
        why = f" ({author.note})" if author.note else ""
        return f"what {_name(author)} may do here is not known{why}"
    note = f", {author.note}" if author.note else ""
    less = (
        "may not write here"
        if rules.min_permission is RepositoryPermission.WRITE
        else f"lacks {rules.min_permission} permission"
    )
    return f"{_name(author)} {less} (permission {author.permission}{note})"


def _name(author: Author | None) -> str:
    return f"@{author.login}" if author is not None else "somebody whose account is gone"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
