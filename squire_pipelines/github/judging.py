"""Judging what was read: GitHub is asked what each person may do, once for a reading, and each signal gets its verdict.

The rule is `domain.authority`. Here: who is asked about, how often, and what holds when GitHub does not say.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol
from urllib.parse import quote

from squire_pipelines.domain.authority import (
    ActorKind,
    Author,
    KnownPermission,
    Provenance,
    RepositoryPermission,
    TrustRules,
    judge_approved,
    people_of,
    standing_approval,
    valid_approvals,
    with_permission,
)
from squire_pipelines.domain.conversations import people_in_conversation
from squire_pipelines.domain.signals import OpenIssue, Signal
from squire_pipelines.domain.verdicts import judge_signal
from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github import quota
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, IssuePart, RepositoryAnswer, Text, parse
from squire_pipelines.github.provenance import with_approved_text, with_changes
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.GITHUB)
MAX_HISTORIES = 20
"""How many texts that were changed after their approval are looked at in one reading."""


class PermissionStore(Protocol):
    """Keeps what GitHub said of people, for a time."""

    def known(self, repository: str, logins: Sequence[str]) -> Mapping[str, KnownPermission]:
        """Return what is still known, by login in one case."""
        ...

    def keep(self, repository: str, answers: Mapping[str, KnownPermission]) -> None:
        """Keep answers of GitHub."""
        ...


class NoStore:
    """Keeps nothing."""

    def known(self, repository: str, logins: Sequence[str]) -> Mapping[str, KnownPermission]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return {}

    def keep(self, repository: str, answers: Mapping[str, KnownPermission]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Trust:
    """By what a reading of one repository is judged.

    Args:
        rules: Who may start work.
        store: Where permissions are kept from one reading to the next.
        max_questions: Most people that GitHub is asked about in one reading.
        timeout_s: For judging what one source gave, whatever is asked for it; what is not known by then is held.
    """

    rules: TrustRules = field(default_factory=TrustRules)
    store: PermissionStore = field(default_factory=NoStore)
    max_questions: int = 50
    timeout_s: float = 30.0


class _PermissionAnswer(GitHubModel):
    permission: Text
    role_name: Text = ""


async def ask_permission(client: GitHubClient, repository: str, login: str) -> KnownPermission:
    """Return what a person may do in a repository. Raises GitHubError when GitHub does not say.

    Not found and forbidden are answers: no permission, with the reason.
    https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """
    path = f"/repos/{repository}/collaborators/{quote(login, safe='')}/permission"
    try:
        answer = parse(_PermissionAnswer, await client.get(path), request=f"GET {path}")
    except GitHubNotFoundError:
        return KnownPermission(permission=RepositoryPermission.NONE, note="GitHub knows no such collaborator")
    except GitHubPermissionError as error:
        return KnownPermission(
            permission=RepositoryPermission.NONE, note=f"GitHub does not tell the token: {error.message}"[:300]
        )
    # `permission` has four levels and calls `maintain` write and `triage` read; a role of an organization's own making
    # has a name that says nothing.
    for name in (answer.role_name, answer.permission):
        if name in set(RepositoryPermission):
            return KnownPermission(permission=RepositoryPermission(name))
    return KnownPermission(
        permission=RepositoryPermission.NONE, note=f"GitHub calls the permission {answer.permission!r}"[:300]
    )


async def author_with_permission(client: GitHubClient, repository: str, author: Author) -> Author:
    """Return the author with the present permission, which is asked for a person only. Raises GitHubError."""
    if author.kind is not ActorKind.PERSON:
        return author
    answer = await ask_permission(client, repository, author.login)
    return with_permission(author, {author.login.casefold(): answer}) or author


class Judge:
    """Judges the signals of one reading of one repository; each person is asked about once, whatever they did."""

    def __init__(self, client: GitHubClient, repository: str, trust: Trust) -> None:
        owner, _, name = repository.partition("/")
        self._client = client
        self._repository = repository
        self._variables = {"owner": owner, "name": name}
        self._trust = trust
        self._questions: dict[str, asyncio.Task[KnownPermission]] = {}
        self._known: dict[str, KnownPermission] = {}
        self._histories = 0

    async def judge(self, signals: Sequence[Signal]) -> tuple[Signal, ...]:
        """Return the signals with their verdicts; those that have one already keep it."""
        ends_at = asyncio.get_running_loop().time() + self._trust.timeout_s
        asked = [signal for signal in signals if signal.verdict is None]
        # Those first that a label makes work of: the number of questions is bounded.
        asked.sort(key=lambda signal: not (signal.provenance and signal.provenance.approvals))
        # Who is heard in a conversation comes last: it starts nothing.
        talkers = (person.login.casefold() for signal in asked for person in people_in_conversation(signal))
        await self._ask_about(chain((login for signal in asked for login in self._people(signal)), talkers), ends_at)
        judged = [signal if signal.verdict is not None else self._verdict(signal) for signal in signals]
        tasks = {
            place: asyncio.create_task(self._judge_by_history(judged[place], ends_at))
            for place in self._with_a_past(judged)
        }
        if tasks:
            await asyncio.wait(tasks.values(), timeout=max(0.0, ends_at - asyncio.get_running_loop().time()))
        for place, task in tasks.items():
            if task.done():
                judged[place] = task.result()
            else:
                task.cancel()
                _log.warning("github.history_not_read", signal=judged[place].ref, cause="the time for judging was over")
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        return tuple(judged)

    async def aclose(self) -> None:
        """Stop asking."""
        for task in self._questions.values():
            task.cancel()
        await asyncio.gather(*self._questions.values(), return_exceptions=True)

    def _with_a_past(self, judged: Sequence[Signal]) -> Iterator[int]:
        """Yield the places of issues that were approved and changed at some time, as many as histories are read of.

        Only the whole history tells by whom they were changed, and what the text was.
        """
        for place, signal in enumerate(judged):
            provenance = signal.provenance
            if provenance is None or not isinstance(signal.details, OpenIssue) or _starts(signal):
                continue
            if (
                provenance.changes
                and valid_approvals(provenance, self._trust.rules)
                and self._histories < MAX_HISTORIES
            ):
                self._histories += 1
                yield place

    async def _judge_by_history(self, signal: Signal, ends_at: float) -> Signal:
        if not isinstance(signal.details, OpenIssue):
            return signal
        try:
            history = await self._history(signal.details.number)
        except GitHubError as error:
            _log.warning("github.history_not_read", signal=signal.ref, cause=str(error))
            return signal
        changed = with_changes(signal, history)
        await self._ask_about(self._people(changed), ends_at)
        judged = self._verdict(changed)
        return judged if _starts(judged) else _as_approved(judged, history, self._trust.rules)

    def _verdict(self, signal: Signal) -> Signal:
        return judge_signal(signal, self._trust.rules, self._known)

    def _people(self, signal: Signal) -> Iterator[str]:
        people = people_of(signal.author, signal.provenance or Provenance(), self._trust.rules)
        return (person.login.casefold() for person in people)

    async def _history(self, number: int) -> IssuePart:
        quota.count_request()
        request = "the query issue_edits"
        answer = await self._client.query("issue_edits", {**self._variables, "number": number})
        quota.count_answer(answer.data)
        repository = parse(RepositoryAnswer, answer.whole().get("repository"), request=request)
        return repository.issue or IssuePart()

    async def _ask_about(self, logins: Iterable[str], ends_at: float) -> None:
        """Learn what people may do: what is kept first, then from GitHub, within the bounds of number and time."""
        unknown = [login for login in dict.fromkeys(logins) if login not in self._known]
        if not unknown:
            return
        self._known |= self._trust.store.known(self._repository, unknown)
        for login in unknown:
            if login in self._known or login in self._questions:
                continue
            if len(self._questions) < self._trust.max_questions:
                self._questions[login] = asyncio.create_task(self._ask(login))
            else:
                note = f"more than {self._trust.max_questions} people in one reading; a later one asks about more"
                self._known[login] = KnownPermission(permission=None, note=note)
        tasks = {login: self._questions[login] for login in unknown if login in self._questions}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=max(0.0, ends_at - asyncio.get_running_loop().time()))
        answers = {login: task.result() for login, task in tasks.items() if task.done() and not task.cancelled()}
        self._known |= answers
        kept = {login: answer for login, answer in answers.items() if answer.permission is not None}
        if kept:
            self._trust.store.keep(self._repository, kept)
        late = KnownPermission(permission=None, note=f"GitHub did not answer within {self._trust.timeout_s:g} s")
        self._known |= dict.fromkeys(tasks.keys() - answers.keys(), late)

    async def _ask(self, login: str) -> KnownPermission:
        quota.count_request()
        try:
            return await ask_permission(self._client, self._repository, login)
        except GitHubError as error:
            return KnownPermission(permission=None, note=f"GitHub did not say: {error.message}"[:300])


def _as_approved(signal: Signal, history: IssuePart, rules: TrustRules) -> Signal:
    """Return a changed issue as it was approved; it stays held where GitHub does not give that text for certain."""
    provenance = signal.provenance or Provenance()
    standing = standing_approval(provenance, rules)
    until = standing.until if standing else max(approval.at for approval in valid_approvals(provenance, rules))
    approved = with_approved_text(signal, history, until, chosen_labels=rules.issue_labels)
    if standing is None or approved is signal:
        return approved
    return approved.model_copy(update={"verdict": judge_approved(standing, rules, ref=signal.ref)})


def _starts(signal: Signal) -> bool:
    return signal.verdict is not None and signal.verdict.may_start
