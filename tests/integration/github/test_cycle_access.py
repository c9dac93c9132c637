"""Who asks in a cycle: a GitHub App that some owners have installed, others not, and for some GitHub is in trouble."""

import asyncio
import json
from collections import Counter

import httpx
import pytest
import stamina

from squire_pipelines.domain.looks import ReadReason, RepositoryState
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError, GitHubUnavailableError
from squire_pipelines.github import permissions
from squire_pipelines.github.access import AppAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.cycle import Cycle, begin_cycle
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CollectionSettings
from tests.integration.github.test_cycle import shown
from tests.support.github_json import API_URL, answer, any_repository
from tests.unit.github.test_access import PEM

GRANTED = {**permissions.REQUIRED, "actions": "read"}
NAMES = ("acme/api", "other/web", "other/app")


class Installed(httpx.AsyncBaseTransport):
    """A GitHub that answers for an App's installation at each owner with a status, and shows every repository."""

    def __init__(self, statuses: dict[str, int], granted: dict[str, dict[str, str]]) -> None:
        self.statuses = statuses
        self.granted = granted
        self.asked: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v3")
        self.asked[path] += 1
        if path.endswith("/installation"):
            owner = path.split("/")[2]
            if (status := self.statuses.get(owner, 200)) != 200:
                return httpx.Response(status, json={"message": "no"})
            granted = self.granted.get(owner, GRANTED)
            return httpx.Response(200, json={"id": sum(owner.encode()), "permissions": granted})
        if path.endswith("/access_tokens"):
            return httpx.Response(201, json={"token": "ghs_" + "x" * 36, "expires_at": "2099-01-01T00:00:00Z"})
        variables = json.loads(await request.aread())["variables"]
        names = [f"{variables[f'owner{n}']}/{variables[f'name{n}']}" for n in range(len(variables) // 2)]
        return answer({f"r{n}": shown(name, NAMES.index(name)) for n, name in enumerate(names)})


def begin(ledger: Ledger, github: Installed, *, attempts: int = 1) -> Cycle:
    async def run() -> Cycle:
        access = AppAccess("7", Secret(PEM, name="key"), api_url=API_URL, needs=any_repository, transport=github)
        http = httpx.AsyncClient(transport=github)
        with stamina.set_testing(True, attempts=attempts):
            async with GitHubClient(GitHubSettings(api_url=API_URL), access, http=http) as client:
                return await begin_cycle(client, ledger, NAMES, CollectionSettings(), forced={}, trusts_recent=False)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "kind", "words", "state"),
    [
        (404, GitHubNotFoundError, "the GitHub App 7 is not installed on other/", RepositoryState.FORBIDDEN),
        (403, GitHubPermissionError, "no", RepositoryState.FORBIDDEN),
        (502, GitHubUnavailableError, "502", RepositoryState.PRESENT),
        (500, GitHubUnavailableError, "500", RepositoryState.PRESENT),
    ],
)
def test_an_owner_whom_the_app_cannot_serve_is_refused_with_that_reason_and_the_others_are_read(
    ledger: Ledger, status: int, kind: type[Exception], words: str, state: RepositoryState
) -> None:
    cycle = begin(ledger, Installed({"other": status}, {}))
    assert cycle.to_read == {"acme/api": ReadReason.UNREAD}
    assert sorted(cycle.refused) == ["other/app", "other/web"]
    for error in cycle.refused.values():
        assert isinstance(error, kind)
        assert words in str(error)
    with ledger.read() as tx:
        known = repositories.known(tx, NAMES)
    assert (known["acme/api"].state, known["other/web"].state) == (RepositoryState.PRESENT, state)


def test_a_permission_that_the_app_lacks_is_named_and_no_other_reason_put_in_its_place(ledger: Ledger) -> None:
    github = Installed({}, {"other": {"metadata": "read"}})
    cycle = begin(ledger, github)
    assert "lacks permissions on other/web: " in str(cycle.refused["other/web"])
    assert "grant them in the App's settings" in str(cycle.refused["other/web"])
    assert github.asked["/repos/other/web"] == 0


def test_an_owner_in_trouble_is_asked_about_as_often_as_one_request_is_tried_not_for_each_repository(
    ledger: Ledger,
) -> None:
    github = Installed({"other": 502}, {})
    begin(ledger, github, attempts=3)
    assert sum(times for path, times in github.asked.items() if path.startswith("/repos/other/")) == 3


def test_a_passing_trouble_of_one_request_refuses_nobody(ledger: Ledger) -> None:
    class Once(Installed):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.statuses = {} if self.asked else {"acme": 502}
            return await super().handle_async_request(request)

    assert begin(ledger, Once({}, {}), attempts=2).refused == {}
