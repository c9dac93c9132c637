"""Which repositories of a cycle are read, refused or left as they are, by a played GitHub and on a real ledger."""

import asyncio
import copy
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stamina
from sqlalchemy import func, select

from squire_pipelines.domain.authority import KnownPermission, RepositoryPermission
from squire_pipelines.domain.looks import ReadReason, RepositoryState
from squire_pipelines.domain.rate_limits import LimitKind, LimitUse
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.access import TokenAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.cycle import Cycle, begin_cycle
from squire_pipelines.ledger import collections, github_limits, repositories
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.collaborators import KeptPermissions
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import collections as table
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CollectionSettings
from tests.support.github_json import API_URL, GRAPHQL_URL, answer
from tests.support.ledgers import START, TRACE, Clock

TOKEN = "ghp_" + "l" * 36
NOT_FOUND = "NOT_FOUND"


def shown(name: str, github_id: int = 1, **fields: object) -> dict[str, Any]:
    """What a look shows of a repository."""
    return {
        "databaseId": github_id,
        "nameWithOwner": name,
        "pushedAt": "2026-03-01T10:00:00Z",
        "updatedAt": "2026-03-01T10:00:00Z",
        "isArchived": False,
        "isDisabled": False,
        "isPrivate": False,
        "defaultBranchRef": None,
        "issues": {"totalCount": 0, "nodes": []},
        "pullRequests": {"totalCount": 0, "nodes": []},
        **fields,
    }


class Looked(httpx.AsyncBaseTransport):
    """A GitHub that shows repositories by name; `missing` have the status by which REST says why."""

    def __init__(self, *names: str) -> None:
        self.shown = {name: shown(name, number) for number, name in enumerate(names, 1)}
        self.missing: dict[str, int] = {}
        self.broken: set[str] = set()
        self.looks: list[list[str]] = []
        self.rest: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) != GRAPHQL_URL:
            self.rest.append(request.url.path)
            status = self.missing[request.url.path.removeprefix("/api/v3/repos/")]
            return httpx.Response(status, json={"message": "no"})
        variables = json.loads(request.content)["variables"]
        names = [f"{variables[f'owner{n}']}/{variables[f'name{n}']}" for n in range(len(variables) // 2)]
        self.looks.append(names)
        if self.broken & set(names):
            return httpx.Response(502)
        errors = [
            {"type": NOT_FOUND, "path": [f"r{n}"], "message": "Could not resolve to a Repository"}
            for n, name in enumerate(names)
            if name not in self.shown
        ]
        return answer({f"r{n}": copy.deepcopy(self.shown.get(name)) for n, name in enumerate(names)}, errors=errors)


def begin(
    ledger: Ledger,
    github: Looked,
    *names: str,
    forced: Mapping[str, ReadReason] | None = None,
    scheduled: bool = False,
    read: bool = True,
    fails: bool = False,
) -> Cycle:
    """Begin a cycle; then read what is to be read, and record all that follows, as the run does."""

    async def run() -> Cycle:
        http = httpx.AsyncClient(transport=github)
        with stamina.set_testing(True, attempts=1):
            async with GitHubClient(
                GitHubSettings(api_url=API_URL), TOKEN, http=http, limits=LedgerLimits(ledger)
            ) as client:
                settings = CollectionSettings(ttl_s=300, full_every_s=3600)
                asked = names or tuple(github.shown)
                return await begin_cycle(client, ledger, asked, settings, forced=forced or {}, trusts_recent=scheduled)

    cycle = asyncio.run(run())
    with ledger.write() as tx:
        again = repositories.record_unchanged(tx, cycle.unchanged, list(Source), trace_id=TRACE, run_id=None)
        assert not again
        for name in cycle.to_read if read else ():
            for source in Source:
                collections.record(tx, reading(name, source, fails=fails), trace_id=TRACE, run_id=None)
            repositories.mark_read(tx, {name: None if fails else cycle.looks.get(name)})
    return cycle


def reading(name: str, source: Source, *, fails: bool) -> Collection:
    failure = {"error_code": "github", "error": "no"} if fails else {}
    status = CollectionStatus.FAILED if fails else CollectionStatus.FRESH
    return Collection(repository=name, source=source, status=status, started_at=START, ended_at=START, **failure)


def states(ledger: Ledger, *names: str) -> dict[str, RepositoryState]:
    with ledger.read() as tx:
        return {name: known.state for name, known in repositories.known(tx, names).items()}


def test_a_repository_is_read_once_and_again_only_when_it_has_changed(ledger: Ledger, clock: Clock) -> None:
    github = Looked("o/a", "o/b", "o/c")
    assert set(begin(ledger, github).to_read.values()) == {ReadReason.UNREAD}
    clock.forward(600)
    assert sorted(begin(ledger, github).unchanged) == ["o/a", "o/b", "o/c"]
    github.shown["o/b"]["issues"]["totalCount"] = 1
    clock.forward(600)
    cycle = begin(ledger, github)
    assert (cycle.to_read, sorted(cycle.unchanged)) == ({"o/b": ReadReason.CHANGED}, ["o/a", "o/c"])
    clock.forward(600)
    assert begin(ledger, github).to_read == {}
    assert [len(names) for names in github.looks] == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pushedAt", "2026-03-01T11:00:00Z"),
        ("updatedAt", "2026-03-01T11:00:00Z"),
        ("issues", {"totalCount": 0, "nodes": [{"number": 1, "updatedAt": "2026-03-01T11:00:00Z"}]}),
        ("pullRequests", {"totalCount": 1, "nodes": [{"number": 2, "statusCheckRollup": {"state": "FAILURE"}}]}),
        ("defaultBranchRef", {"name": "main", "target": {"oid": "b" * 40}}),
        ("defaultBranchRef", {"name": "main", "target": {"oid": "b" * 40, "statusCheckRollup": {"state": "ERROR"}}}),
        ("isArchived", True),
    ],
)
def test_whatever_a_look_shows_makes_a_reading(ledger: Ledger, field: str, value: object) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    github.shown["o/a"][field] = value
    assert begin(ledger, github).to_read == {"o/a": ReadReason.CHANGED}


def checked(*states: tuple[str, int], statuses: tuple[tuple[str, int], ...] = ()) -> dict[str, Any]:
    """A red default branch with so many checks of each state."""

    def counts(pairs: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
        return [{"state": state, "count": count} for state, count in pairs]

    contexts = {"checkRunCountsByState": counts(states), "statusContextCountsByState": counts(statuses)}
    return {
        "name": "main",
        "target": {"oid": "b" * 40, "statusCheckRollup": {"state": "FAILURE", "contexts": contexts}},
    }


def test_a_second_check_that_fails_on_a_red_branch_makes_a_reading_and_progress_makes_none(ledger: Ledger) -> None:
    github = Looked("o/a")

    def look_at(branch: dict[str, Any]) -> dict[str, ReadReason]:
        github.shown["o/a"]["defaultBranchRef"] = branch
        return begin(ledger, github).to_read

    changed = {"o/a": ReadReason.CHANGED}
    look_at(checked(("FAILURE", 1), ("QUEUED", 5)))
    assert look_at(checked(("FAILURE", 1), ("IN_PROGRESS", 3), ("SUCCESS", 2))) == {}
    assert look_at(checked(("FAILURE", 2), ("SUCCESS", 4))) == changed
    assert look_at(checked(("FAILURE", 2), ("SUCCESS", 4), statuses=(("ERROR", 1),))) == changed
    assert look_at(checked(("FAILURE", 1), ("SUCCESS", 5), ("TIMED_OUT", 1), statuses=(("ERROR", 1),))) == changed


def test_a_schedule_does_not_even_look_at_what_was_just_seen_and_a_person_does(ledger: Ledger, clock: Clock) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    clock.forward(299)
    assert begin(ledger, github, scheduled=True).unchanged == ["o/a"]
    assert len(github.looks) == 1
    assert begin(ledger, github).unchanged == ["o/a"]
    assert len(github.looks) == 2
    clock.forward(300)
    begin(ledger, github, scheduled=True)
    assert len(github.looks) == 3


def test_each_repository_is_read_whole_after_a_time(ledger: Ledger, clock: Clock) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    clock.forward(3599)
    assert begin(ledger, github).to_read == {}
    clock.forward(2)
    assert begin(ledger, github).to_read == {"o/a": ReadReason.FULL}


def test_a_delivery_and_a_fresh_request_read_what_looks_unchanged(ledger: Ledger) -> None:
    github = Looked("o/a", "o/b", "o/c")
    begin(ledger, github)
    forced = {"o/a": ReadReason.DELIVERY, "o/b": ReadReason.FRESH}
    assert begin(ledger, github, forced=forced, scheduled=True).to_read == forced


def test_a_reading_that_failed_is_made_again(ledger: Ledger, clock: Clock) -> None:
    github = Looked("o/a")
    begin(ledger, github, fails=True)
    assert begin(ledger, github, scheduled=True, fails=True).to_read == {"o/a": ReadReason.UNREAD}
    assert begin(ledger, github, scheduled=True).to_read == {"o/a": ReadReason.UNREAD}
    clock.forward(1)
    assert begin(ledger, github, scheduled=True).to_read == {}


def test_a_run_that_ended_before_it_read_leaves_the_change_to_the_next(ledger: Ledger) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    github.shown["o/a"]["pushedAt"] = "2026-03-01T12:00:00Z"
    begin(ledger, github, read=False)
    assert begin(ledger, github).to_read == {"o/a": ReadReason.CHANGED}


def test_an_unchanged_repository_is_one_row_for_each_source_however_often_it_is_looked_at(
    ledger: Ledger, clock: Clock
) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    for _ in range(5):
        clock.forward(60)
        begin(ledger, github)
    with ledger.read() as tx:
        rows = collections.latest(tx, ["o/a"])
        assert {(row.source, row.status) for row in rows} == {(source, CollectionStatus.UNCHANGED) for source in Source}
        assert tx.execute(select(func.count()).select_from(table)).scalar_one() == 2 * len(Source)
        assert set(tx.execute(select(table.c.looks)).scalars()) == {None, 5}
        first_reading = collections.unplanned(tx)["o/a"]
    with ledger.write() as tx:
        collections.mark_planned(tx, "o/a", first_reading)
        assert collections.unplanned(tx) == {}


def test_a_persons_request_plans_again_from_what_is_unchanged_and_a_schedule_does_not(ledger: Ledger) -> None:
    def unplanned_after_a_look(*, plan_again: bool) -> set[str]:
        with ledger.write() as tx:
            repositories.record_unchanged(tx, ["o/a"], list(Source), trace_id=TRACE, run_id=None, plan_again=plan_again)
            unplanned = collections.unplanned(tx)
            for name, newest in unplanned.items():
                collections.mark_planned(tx, name, newest)
        return set(unplanned)

    begin(ledger, Looked("o/a"))
    with ledger.write() as tx:
        collections.mark_planned(tx, "o/a", collections.unplanned(tx)["o/a"])
    assert unplanned_after_a_look(plan_again=False) == set()
    assert unplanned_after_a_look(plan_again=True) == {"o/a"}, "also where the row of the look before is moved on"
    assert unplanned_after_a_look(plan_again=False) == set()


def test_a_persons_request_plans_again_from_what_was_just_read(ledger: Ledger) -> None:
    begin(ledger, Looked("o/a"))
    with ledger.write() as tx:
        collections.mark_planned(tx, "o/a", collections.unplanned(tx)["o/a"])
        repositories.record_unchanged(tx, ["o/a"], list(Source), trace_id=TRACE, run_id=None, plan_again=True)
        assert set(collections.unplanned(tx)) == {"o/a"}


def test_a_look_that_github_does_not_answer_is_asked_in_halves(ledger: Ledger) -> None:
    names = [f"o/r{n}" for n in range(8)]
    github = Looked(*names)
    github.broken = {"o/r5"}
    cycle = begin(ledger, github)
    assert {name for name, reason in cycle.to_read.items() if reason is ReadReason.NO_LOOK} == {"o/r5"}
    assert set(cycle.to_read) == set(names)
    assert [len(look) for look in github.looks] == [8, 4, 4, 2, 1, 1, 2]


@pytest.mark.slow
def test_a_hundred_repositories_are_one_query(ledger: Ledger) -> None:
    github = Looked(*(f"o/r{n}" for n in range(250)))
    begin(ledger, github)
    assert [len(look) for look in github.looks] == [100, 100, 50]


@pytest.mark.parametrize(
    ("status", "words", "state"),
    [
        (404, "last seen at 2026-03-01 12:00 UTC; since then it was deleted or made private", RepositoryState.MISSING),
        (410, "is gone for good", RepositoryState.MISSING),
        (451, "not available for legal reasons", RepositoryState.MISSING),
        (403, "does not let the token read", RepositoryState.FORBIDDEN),
    ],
)
def test_a_repository_that_is_not_shown_is_refused_with_its_reason_and_what_to_do(
    ledger: Ledger, clock: Clock, status: int, words: str, state: RepositoryState
) -> None:
    github = Looked("o/a", "o/b")
    begin(ledger, github)
    clock.forward(60)
    del github.shown["o/a"]
    github.missing["o/a"] = status
    cycle = begin(ledger, github, "o/a", "o/b")
    assert words in str(cycle.refused["o/a"])
    assert "`repositories`" in cycle.refused["o/a"].hint
    assert (cycle.to_read, cycle.unchanged) == ({}, ["o/b"])
    assert states(ledger, "o/a") == {"o/a": state}


def test_a_repository_that_never_was_there_is_told_from_one_that_went(ledger: Ledger) -> None:
    github = Looked()
    github.missing["o/none"] = 404
    error = begin(ledger, github, "o/none").refused["o/none"]
    assert isinstance(error, GitHubNotFoundError)
    assert "there is no repository o/none" in str(error)


def test_of_many_repositories_that_are_not_shown_the_reason_is_asked_for_twenty(ledger: Ledger) -> None:
    names = [f"o/r{n}" for n in range(25)]
    github = Looked()
    github.missing = dict.fromkeys(names, 404)
    cycle = begin(ledger, github, *names)
    assert sorted(cycle.refused) == sorted(names)
    assert len(github.rest) == 20


def test_a_renamed_repository_is_followed_and_its_new_name_suggested(ledger: Ledger) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    github.shown["o/a"]["nameWithOwner"] = "new-owner/b"
    cycle = begin(ledger, github)
    assert cycle.to_read == {"o/a": ReadReason.CHANGED}
    assert "is now new-owner/b" in cycle.notes["o/a"]
    assert "so write new-owner/b in `repositories`" in cycle.notes["o/a"]
    with ledger.read() as tx:
        known = repositories.known(tx, ["o/a"])["o/a"]
        assert (known.state, known.name, known.github_id) == (RepositoryState.RENAMED, "new-owner/b", 1)
        assert repositories.name_of_id(tx, 1) == "o/a"


def test_names_are_compared_as_github_compares_them(ledger: Ledger) -> None:
    github = Looked("o/a")
    github.shown["o/a"]["nameWithOwner"] = "O/A"
    assert begin(ledger, github).notes == {}
    assert states(ledger, "o/a") == {"o/a": RepositoryState.PRESENT}


@pytest.mark.parametrize("forced", [{}, {"o/a": ReadReason.FRESH}, {"o/a": ReadReason.DELIVERY}])
def test_another_repository_under_the_same_name_is_not_read_however_often_it_is_looked_at(
    ledger: Ledger, clock: Clock, forced: dict[str, ReadReason]
) -> None:
    github = Looked("o/a", "o/b")
    begin(ledger, github)
    github.shown["o/a"]["databaseId"] = 7
    for _ in range(2):
        clock.forward(600)
        cycle = begin(ledger, github, forced=forced)
        assert "GitHub's id is 7, and was 1" in str(cycle.refused["o/a"])
        assert "`squire signals collect o/a --accept-replaced`" in cycle.refused["o/a"].hint
        assert (cycle.to_read, cycle.unchanged, list(cycle.looks)) == ({}, ["o/b"], ["o/b"])
        assert states(ledger, "o/a") == {"o/a": RepositoryState.REPLACED}
    with ledger.read() as tx:
        assert repositories.replaced(tx).keys() == {"o/a"}


def test_a_name_that_was_gone_for_a_while_and_leads_to_another_repository_is_not_read(ledger: Ledger) -> None:
    github = Looked("o/a")
    begin(ledger, github)
    former = github.shown.pop("o/a")
    github.missing["o/a"] = 404
    begin(ledger, github, "o/a")
    github.shown["o/a"] = {**former, "databaseId": 7}
    assert begin(ledger, github).to_read == {}
    assert states(ledger, "o/a") == {"o/a": RepositoryState.REPLACED}
    github.shown["o/a"] = former
    assert begin(ledger, github).to_read == {"o/a": ReadReason.UNREAD}
    assert states(ledger, "o/a") == {"o/a": RepositoryState.PRESENT}


def test_a_replaced_repository_that_a_person_accepts_is_read_and_its_people_are_asked_about_anew(
    ledger: Ledger,
) -> None:
    github = Looked("o/a", "o/b")
    begin(ledger, github)
    kept = KeptPermissions(ledger, ttl_s=600, max_rows=10)
    for name in ("o/a", "o/b"):
        kept.keep(name, {"ann": KnownPermission(permission=RepositoryPermission.WRITE)})
    github.shown["o/a"]["databaseId"] = 7
    begin(ledger, github)
    with ledger.write() as tx:
        assert repositories.accept_replaced(tx, ["o/a", "o/b"], actor="cli:ann", trace_id=TRACE) == ("o/a",)
    assert begin(ledger, github).to_read == {"o/a": ReadReason.UNREAD}
    assert states(ledger, "o/a") == {"o/a": RepositoryState.PRESENT}
    assert [list(kept.known(name, ["ann"])) for name in ("o/a", "o/b")] == [[], ["ann"]]
    with ledger.read() as tx:
        assert repositories.replaced(tx) == {}
        (entry,) = audit_page(tx)
    assert (entry.actor, entry.action, entry.subject) == ("cli:ann", "repository.accepted", "o/a")


def test_two_names_of_one_repository_are_read_once_under_the_present_one(ledger: Ledger) -> None:
    github = Looked("o/old", "o/new")
    github.shown["o/old"] |= {"nameWithOwner": "o/new", "databaseId": 2}
    cycle = begin(ledger, github)
    assert list(cycle.to_read) == ["o/new"]
    assert "is the same repository as o/new" in str(cycle.refused["o/old"])
    assert states(ledger, "o/old", "o/new") == {"o/old": RepositoryState.DUPLICATE, "o/new": RepositoryState.PRESENT}


def test_an_archived_repository_says_that_nothing_can_be_done_in_it(ledger: Ledger) -> None:
    github = Looked("o/a")
    github.shown["o/a"]["isArchived"] = True
    assert "is archived" in begin(ledger, github).notes["o/a"]


@pytest.mark.parametrize("costs", [(40, 1, 1, 30), (72, 0, 0, 0), (18, 18, 18, 18)])
def test_what_a_reading_costs_is_what_its_sources_cost_together(ledger: Ledger, costs: tuple[int, ...]) -> None:
    with ledger.write() as tx:
        assert repositories.mean_cost(tx) == 3.0
        for run in ("a" * 32, "b" * 32):
            for number in range(10):
                for source, cost in zip(Source, costs, strict=False):
                    row = reading(f"o/r{number}", source, fails=False).model_copy(update={"quota_cost": cost})
                    collections.record(tx, row, trace_id=run, run_id=None)
        assert repositories.mean_cost(tx) == 72.0


def test_a_cycle_reads_what_the_points_pay_for_and_leaves_the_rest_to_a_later_one(ledger: Ledger, clock: Clock) -> None:
    names = [f"o/r{n}" for n in range(10)]
    github = Looked(*names)
    access = TokenAccess(Secret(TOKEN, name="github-token"))
    use = LimitUse(LimitKind.GRAPHQL, 5000, 512, clock.now + timedelta(seconds=900))
    with ledger.write() as tx:
        github_limits.record_use(tx, asyncio.run(access.credential(None)), use)
    cycle = begin(ledger, github, forced={"o/r7": ReadReason.DELIVERY})
    assert len(cycle.to_read) == 4  # (512 - a tenth of 5000) points, 3 a reading
    assert "o/r7" in cycle.to_read
    assert len(cycle.refused) == 6
    assert all("512 points are left until 12:15 UTC" in str(error) for error in cycle.refused.values())
    clock.forward(901)
    assert len(begin(ledger, github).to_read) == 6
