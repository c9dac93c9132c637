"""Letting a held pull request pass: who did it, whether that person may, and what follows on GitHub.

A label holds it. GitHub lets anybody with triage rights take a label off, so that only its own record of who did it
counts, and that person's permission now. Every step can be repeated.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Text, parse
from squire_pipelines.publishing.body import code

_WHAT = "the query pull_request_approval"


class _Camel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _Actor(_Camel):
    login: Text


class _Label(_Camel):
    name: Text


class _Labels(_Camel):
    nodes: tuple[_Label, ...] = ()


class _Commit(_Camel):
    oid: str


class _Review(_Camel):
    state: str
    author: _Actor | None = None
    commit: _Commit | None = None


class _Reviews(_Camel):
    nodes: tuple[_Review, ...] = ()


class _LabelEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    actor: _Actor | None = None
    label: _Label


class _Timeline(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    nodes: tuple[dict[str, object], ...] = ()


class _Held(_Camel):
    state: str
    is_draft: bool
    head_ref_oid: str
    labels: _Labels | None = None
    reviews: _Reviews | None = None
    timeline_items: _Timeline


class _Repository(_Camel):
    pull_request: _Held


class _Answer(_Camel):
    repository: _Repository


@dataclass(frozen=True, slots=True)
class Approval:
    """What was found. `by` is the permitted person who let it pass; `refused` those who tried and may not."""

    by: str | None = None
    how: str = ""
    refused: tuple[str, ...] = ()


async def settle_approval(client: GitHubClient, repository: str, number: int, label: str) -> Approval:
    """See whether a permitted person let a held pull request pass, and do what follows.

    A permitted person lets it pass by taking the label off or by an approving review of its present head: then the
    label goes and it is made ready for review. Whoever else takes the label off finds it put back, with a comment.

    Raises:
        GitHubError: GitHub cannot be reached, or the token may not do this.
    """
    owner, _, name = repository.partition("/")
    data = await client.graphql("pull_request_approval", {"owner": owner, "name": name, "number": number})
    found = parse(_Answer, data, what=_WHAT).repository.pull_request
    if found.state != "OPEN":
        return Approval()
    labelled = any(each.name.lower() == label.lower() for each in (found.labels.nodes if found.labels else ()))
    remover, events = _last_remover(found, label)
    candidates: list[tuple[str, str | None]] = [("an approving review", login) for login in _approvers(found)]
    if not labelled and events:
        candidates.insert(0, ("taking the label off", remover))
    refused: list[str] = []
    for how, login in candidates:
        if login is None or not await pulls.may_write(client, repository, login):
            refused.append(login or "nobody known")
            continue
        if labelled:
            await pulls.remove_label(client, repository, number, label)
        await pulls.set_draft(client, repository, number, draft=False)
        return Approval(by=login, how=how)
    if not labelled:
        await pulls.add_labels(client, repository, number, [label])
        if not found.is_draft:
            await pulls.set_draft(client, repository, number, draft=True)
        if events:
            await pulls.add_comment(client, repository, number, _put_back(label, remover))
    return Approval(refused=tuple(refused))


def _last_remover(found: _Held, label: str) -> tuple[str | None, bool]:
    """Who took the label off last, and whether anybody ever touched it."""
    remover, touched = None, False
    for node in found.timeline_items.nodes:
        event = parse(_LabelEvent, node, what=_WHAT)
        if event.label.name.lower() != label.lower():
            continue
        touched = True
        removed = node.get("__typename") == "UnlabeledEvent"
        remover = event.actor.login if removed and event.actor else None
    return remover, touched


def _approvers(found: _Held) -> list[str]:
    """Whose last word on the present head is an approval."""
    words: dict[str, str] = {}
    for review in found.reviews.nodes if found.reviews else ():
        # A remark neither approves nor takes an approval back.
        if review.state in {"COMMENTED", "PENDING"}:
            continue
        if review.author and review.commit and review.commit.oid == found.head_ref_oid:
            words[review.author.login] = review.state
    return [login for login, state in words.items() if state == "APPROVED"]


def _put_back(label: str, remover: str | None) -> str:
    who = code(remover) if remover else "Somebody"
    return (
        f"{who} took the label {code(label)} off without permission to write to this repository, so it is back. "
        "A person with that permission lets this pull request pass by taking the label off, or by an approving review."
    )
