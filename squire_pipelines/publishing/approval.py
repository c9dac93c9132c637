"""Lets a pull request that waits for approval pass: who let it, whether that person may, and what follows on GitHub.

A label marks it as waiting. GitHub lets anybody with triage rights take a label off, so that only its own record of
who did it counts, and that person's permission now. Every step can be repeated.
"""

from dataclasses import dataclass

from pydantic import AliasPath, BaseModel, ConfigDict, Field

from squire_pipelines.domain.authority import Author, TrustRules, is_permitted_person
from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.judging import author_with_permission
from squire_pipelines.github.models import Actor, Named, Nodes, parse
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.github.provenance import author_of
from squire_pipelines.publishing.escaping import code

_QUERY = "pull_request_approval"


class _ApprovalModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class _ReviewOfCommit(_ApprovalModel):
    state: str
    author: Actor | None = None
    commit: str | None = Field(default=None, validation_alias=AliasPath("commit", "oid"))


class _LabelEvent(_ApprovalModel):
    typename: str = Field(alias="__typename")
    actor: Actor | None = None
    label: Named


class _WaitingPullRequest(_ApprovalModel):
    state: str
    is_draft: bool = Field(alias="isDraft")
    head: str = Field(alias="headRefOid")
    labels: Nodes[Named] | None = None
    reviews: Nodes[_ReviewOfCommit] | None = None
    label_events: Nodes[_LabelEvent] = Field(alias="timelineItems")


class _Answer(_ApprovalModel):
    pull_request: _WaitingPullRequest = Field(validation_alias=AliasPath("repository", "pullRequest"))


@dataclass(frozen=True, slots=True)
class ApprovalOutcome:
    """Whether a person let it pass: `by` is that person, `refused` those who tried and may not."""

    by: str | None = None
    how: str = ""
    refused: tuple[str, ...] = ()


async def settle_approval(
    client: GitHubClient, repository: str, number: int, label: str, *, rules: TrustRules | None = None
) -> ApprovalOutcome:
    """See whether a permitted person let a waiting pull request pass, and do what follows.

    A permitted person lets it pass by taking the label off or by an approving review of its present head: then the
    label goes and it is made ready for review. Whoever else takes the label off finds it put back, with a comment; so
    does a bot, whatever its name. `rules` are those of the repository, by default the general ones.

    Raises:
        GitHubError: GitHub cannot be reached, or the token may not do this.
    """
    owner, _, name = repository.partition("/")
    data = await client.graphql(_QUERY, {"owner": owner, "name": name, "number": number})
    pull = parse(_Answer, data, request=f"the query {_QUERY}").pull_request
    if pull.state != "OPEN":
        return ApprovalOutcome()
    labelled = any(item.name.lower() == label.lower() for item in (pull.labels.nodes if pull.labels else ()))
    remover, touched = _last_remover(pull, label)
    candidates: list[tuple[str, Actor | None]] = [("an approving review", actor) for actor in _approvers(pull)]
    if not labelled and touched:
        candidates.insert(0, ("taking the label off", remover))
    refused: list[str] = []
    for how, actor in candidates:
        author = author_of(actor)
        if author is None or not await _may_approve(client, repository, author, rules or TrustRules()):
            refused.append(actor.login if actor else "nobody known")
            continue
        if labelled:
            await pulls.remove_label(client, repository, number, label)
        await pulls.set_draft(client, repository, number, draft=False)
        return ApprovalOutcome(by=author.login, how=how)
    if not labelled:
        await pulls.add_labels(client, repository, number, [label])
        if not pull.is_draft:
            await pulls.set_draft(client, repository, number, draft=True)
        if touched:
            text = _put_back(label, remover.login if remover else None)
            await put_part(client, repository, number, CommentPart.APPROVAL, text)
    return ApprovalOutcome(refused=tuple(refused))


async def _may_approve(client: GitHubClient, repository: str, author: Author, rules: TrustRules) -> bool:
    return is_permitted_person(await author_with_permission(client, repository, author), rules)


def _last_remover(pull: _WaitingPullRequest, label: str) -> tuple[Actor | None, bool]:
    """Return who took the label off last, and whether anybody ever touched it."""
    events = [event for event in pull.label_events.nodes if event.label.name.lower() == label.lower()]
    if not events or events[-1].typename != "UnlabeledEvent":
        return None, bool(events)
    return events[-1].actor, True


def _approvers(pull: _WaitingPullRequest) -> list[Actor]:
    """Return whose last word on the present head is an approval."""
    states: dict[tuple[str, str], tuple[str, Actor]] = {}
    for review in pull.reviews.nodes if pull.reviews else ():
        # A remark neither approves nor takes an approval back.
        if review.state not in {"COMMENTED", "PENDING"} and review.author and review.commit == pull.head:
            states[review.author.typename, review.author.login] = (review.state, review.author)
    return [actor for state, actor in states.values() if state == "APPROVED"]


def _put_back(label: str, remover: str | None) -> str:
    who = code(remover) if remover else "Somebody"
    return (
        f"{who} took the label {code(label)} off without permission to write to this repository, so it is back. "
        "A person with that permission lets this pull request pass by taking the label off, or by an approving review."
    )
