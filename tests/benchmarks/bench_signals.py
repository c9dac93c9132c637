"""Cycles of collection against a GitHub that answers after a set time: `make bench-signals`.

It is played in this process, over no network; its points are counted by GitHub's published formula. What Dagster adds
is measured by itself, on an instance with files.
"""

import asyncio
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import dagster as dg
import httpx
from graphql import OperationDefinitionNode, parse
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_forge.limits import query_cost
from squire_pipelines.assets.concurrency import Batches, gather_bounded
from squire_pipelines.assets.signals import report_reading
from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.github.access import Access
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.cycle import begin_cycle, unread_sources
from squire_pipelines.github.judging import Trust
from squire_pipelines.ledger import collections, github_limits, repositories
from squire_pipelines.ledger.collaborators import KeptPermissions
from squire_pipelines.ledger.collections import RecordedCollection
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.ledger.repository_readings import RecordedReading, RepositoryReading, mark_read, record_readings
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.ledger.tables import collections as collection_table
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.settings.model import Settings
from tests.support.figures import Figure, report
from tests.support.github_json import API_URL, check_run, commit, issue, page, pull_request, repository, thread
from tests.support.ledgers import folder_in_memory, sqlite_ledger_file
from tests.support.ledgers import issue as issue_signal

LATENCY_S = 0.2
CONCURRENCY = 20
TRACE = "be" * 16
TOKEN = "ghp_" + "m" * 36
CALLS_ONE_AFTER_THE_OTHER = 4
SECOND, READY = "--second", "ready\n"
PATIENCE_S = 120.0
SAMPLE = 3
"""Repositories read by calls one after the other; the time of all is a multiple of theirs."""


@dataclass
class PlayedGitHub(httpx.AsyncBaseTransport):
    """Answers looks and readings after the latency; with `faults` some fail, hang, are refused or lack a part.

    After `expires_after` requests the token that was used first is none any more.
    """

    faults: bool = False
    hang_s: float = 3.0
    requests: int = 0
    points: int = 0
    pushed: dict[str, int] = field(default_factory=dict)
    refused_until: float = 0.0
    asked_while_refused: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same faults each time
    refusals: int = 0
    expires_after: int | None = None
    first_token: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if time.monotonic() < self.refused_until:
            self.asked_while_refused += 1
        self.first_token = self.first_token or request.headers["Authorization"]
        is_over = self.expires_after is not None and self.requests > self.expires_after
        if is_over and request.headers["Authorization"] == self.first_token:
            return httpx.Response(401, json={"message": "Bad credentials"})
        if request.method == "GET":
            await asyncio.sleep(LATENCY_S)
            return httpx.Response(200, json=_PERMISSION)
        content = json.loads(request.content)
        self.points += _points(content["query"], content["variables"])
        await asyncio.sleep(LATENCY_S)
        is_look = "query RepositoryLooks" in content["query"]
        if self.faults and not is_look and (fault := await self._fault()) is not None:
            return fault
        return httpx.Response(200, json={"data": self._data(content["variables"], is_look=is_look)})

    async def _fault(self) -> httpx.Response | None:
        drawn = self.chance.random()
        if drawn < 0.10:
            return httpx.Response(502)
        if drawn < 0.15:
            await asyncio.sleep(self.hang_s)
        if self.requests > 150 and not self.refusals:
            self.refusals += 1
            self.refused_until = time.monotonic() + 4.0
            body = {"message": "You have exceeded a secondary rate limit"}
            return httpx.Response(403, json=body, headers={"retry-after": "5"})
        return None

    def _data(self, variables: dict[str, Any], *, is_look: bool) -> dict[str, Any]:
        if not is_look:
            whole = _whole()
            if self.faults:
                self._leave_out(whole)
            return {"rateLimit": {"cost": 3, "remaining": 4000}, "repository": whole}
        names = [f"{variables[f'owner{n}']}/{variables[f'name{n}']}" for n in range(len(variables) // 2)]
        return {f"r{n}": self._glance(name) for n, name in enumerate(names)}

    def _leave_out(self, whole: dict[str, Any]) -> None:
        """Put null where GitHub's schema permits it, in one of five places."""
        pull, first_issue = whole["pullRequests"]["nodes"][0], whole["issues"]["nodes"][0]
        places = ((whole, "defaultBranchRef"), (pull, "author"), (first_issue, "author"), (whole["issues"], "nodes"))
        place, name = self.chance.choice([*places, (pull["reviewThreads"], "nodes")])
        place[name] = None

    def _glance(self, name: str) -> dict[str, Any]:
        return {
            "databaseId": int(name.rpartition("-")[2]) + 1,
            "nameWithOwner": name,
            "pushedAt": str(self.pushed.get(name, 0)),
            "updatedAt": "2026-03-01T10:00:00Z",
            "isArchived": False,
            "isDisabled": False,
            "isPrivate": False,
            "defaultBranchRef": {"name": "main", "target": {"oid": "a" * 40}},
            "issues": {"totalCount": 5, "nodes": [{"number": 1, "updatedAt": "2026-03-01T10:00:00Z"}]},
            "pullRequests": {
                "totalCount": 2,
                "nodes": [{"number": number, "headRefOid": "b" * 40} for number in (1, 2)],
            },
        }


def _whole() -> dict[str, Any]:
    branch = {"name": "main", "target": {"__typename": "Commit", **commit([check_run("test"), check_run("lint")])}}
    pulls = [
        pull_request(number, threads=page([thread(f"T{number}")]), head=commit([check_run()])) for number in (1, 2)
    ]
    return repository(defaultBranchRef=branch, pullRequests=page(pulls), issues=page([issue(n) for n in range(10, 15)]))


_PERMISSION = {"permission": "write", "role_name": "write", "user": {"login": "ada", "type": "User"}}
_COSTS: dict[str, int] = {}


def _points(query: str, variables: dict[str, Any]) -> int:
    if query not in _COSTS:
        document = parse(query)
        operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        _COSTS[query] = query_cost(document, operation, variables)
    return _COSTS[query]


class RenewedAccess:
    """Gives out another token when GitHub does not accept the one before, as an App's access does."""

    is_anonymous = False

    def __init__(self) -> None:
        self._number = 0

    async def token(self, repository: str | None, *, write: bool) -> str:  # noqa: ARG002 - see `Access`
        """See `Access`."""
        return f"ghs_{self._number:036}"

    async def credential(self, repository: str | None) -> str:  # noqa: ARG002 - see `Access`
        """See `Access`."""
        return "installation-1"

    def refused(self, token: str) -> bool:
        """See `Access`."""
        if token == f"ghs_{self._number:036}":
            self._number += 1
        return True


async def cycle(
    ledger: Ledger,
    github: PlayedGitHub,
    names: Sequence[str],
    *,
    timeout_s: float = 30.0,
    access: Access | str = TOKEN,
) -> None:
    """Look, read what has changed, and record it, as the run `collect` does."""
    settings = GitHubSettings(api_url=API_URL, max_concurrent_requests=CONCURRENCY, timeout_s=timeout_s)

    def record(batch: Sequence[RepositoryReading]) -> None:
        with ledger.write() as tx:
            recorded = record_readings(tx, batch, rules=lambda _: TrustRules(), trace_id=TRACE, run_id=None)
            mark_read(tx, batch, recorded, rules=lambda _: TrustRules(), of_all_sources=True)

    http = httpx.AsyncClient(transport=github)
    async with GitHubClient(settings, access, http=http, limits=LedgerLimits(ledger)) as client:
        begun = await begin_cycle(client, ledger, names, CollectionSettings(), forced={}, trusts_recent=False)
        with ledger.write() as tx:
            repositories.record_unchanged(tx, begun.unchanged, list(Source), trace_id=TRACE, run_id=None)
        now = utc_now()
        refused = begun.refused.items()
        record([RepositoryReading(name, unread_sources(name, list(Source), error, now=now)) for name, error in refused])
        trust = Trust(store=KeptPermissions(ledger, ttl_s=3600, max_rows=5000))
        batches = Batches(record)

        async def read(name: str) -> None:
            readings = await collect_repository(client, name, source_timeout_s=20, trust=trust)
            await batches.add(RepositoryReading(name, readings, begun.looks.get(name)))

        await gather_bounded(begun.to_read, read, limit=CollectionSettings().max_concurrent_repositories)


async def one_after_the_other(github: PlayedGitHub, names: Sequence[str]) -> None:
    """Read as the product did that this one replaces: four calls for each repository, none at the same time."""
    async with GitHubClient(GitHubSettings(api_url=API_URL), TOKEN, http=httpx.AsyncClient(transport=github)) as client:
        for name in names:
            for number in range(CALLS_ONE_AFTER_THE_OTHER):
                await client.get(f"/repos/{name}/{number}")


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a coroutine takes."""
    began = time.perf_counter()
    asyncio.run(work())
    return time.perf_counter() - began


def all_changed(folder: Path) -> list[Figure]:
    """Read a hundred repositories in all of which something was pushed; who may write there is known from before."""
    ledger, github = _ledger(folder, "all"), PlayedGitHub()
    names = [f"acme/r-{number}" for number in range(100)]
    asyncio.run(cycle(ledger, github, names))
    github.pushed, github.requests = dict.fromkeys(names, 1), 0
    took = seconds(lambda: cycle(ledger, github, names))
    floor = github.requests * LATENCY_S / CONCURRENCY
    slow = seconds(lambda: one_after_the_other(PlayedGitHub(), names[:SAMPLE])) * len(names) / SAMPLE
    ledger.close()
    return [
        Figure("100 repositories, all changed", took, "s"),
        Figure("requests", github.requests, ""),
        Figure("times the floor (requests x latency / concurrency)", took / floor, "x", 1.5),
        Figure("times as fast as four calls one after the other", slow / took, "x", 40, at_least=True),
    ]


def few_changed(folder: Path) -> list[Figure]:
    """Read twenty of a thousand repositories, when the others are as they were."""
    ledger, github = _ledger(folder, "few"), PlayedGitHub()
    names = [f"acme/r-{number}" for number in range(1000)]
    asyncio.run(cycle(ledger, github, names))
    github.pushed = dict.fromkeys(names[::50], 1)
    github.requests = github.points = 0
    took = seconds(lambda: cycle(ledger, github, names))
    ledger.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure("1,000 repositories, 20 changed", took, "s", 15),
        Figure("its requests", github.requests, ""),
        Figure("its points by GitHub's formula", github.points, "", 200),
        Figure("memory of this process at most", memory, "MB", 300),
    ]


def with_faults(folder: Path) -> list[Figure]:
    """Read 200 repositories from a GitHub of which a tenth fails, some hangs, and that refuses once in the middle."""
    ledger, github = _ledger(folder, "faults"), PlayedGitHub(faults=True, expires_after=100)
    names = [f"acme/r-{number}" for number in range(200)]
    command = [sys.executable, str(Path(__file__).resolve()), SECOND, str(ledger.url)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == READY
        took = seconds(lambda: cycle(ledger, github, names, timeout_s=2.0, access=RenewedAccess()))
        of_second = json.loads(second.communicate(timeout=PATIENCE_S)[0])
    with ledger.read() as tx:
        rows = {(row.repository, row.source) for row in collections.latest(tx, names)}
    refused = _error_codes(ledger)["github_auth"]
    ledger.close()
    return [
        Figure("200 repositories with faults", took, "s", 120),
        Figure("sources without a row", len(names) * len(Source) - len(rows), "", 0),
        Figure("requests sent during a retry-after", github.asked_while_refused, "", 0),
        Figure("requests of a second process during it", of_second["asked_while_refused"], "", 0),
        Figure("what was left of it when the second process began", of_second["left_s"], "s", 1, at_least=True),
        Figure("requests of the second process after it", of_second["asked"], "", 1, at_least=True),
        Figure("sources not read for an App's token that expired", refused, "", 0),
        *expired_token(folder),
    ]


def second_process(url: str) -> None:
    """Wait until another process was told to wait, then run a cycle on its ledger at once, and say what was asked."""
    ledger, access = Ledger(url), RenewedAccess()
    credential = asyncio.run(access.credential(None))
    sys.stdout.write(READY)
    sys.stdout.flush()
    deadline, left_s = time.monotonic() + PATIENCE_S, 0.0
    while left_s <= 0 and time.monotonic() < deadline:
        time.sleep(0.02)
        with ledger.read() as tx:
            ends = [state.blocked_until for state in github_limits.read_states(tx, credential).values()]
            left_s = max(((end - tx.now).total_seconds() for end in ends if end is not None), default=0.0)
    github = PlayedGitHub(refused_until=time.monotonic() + left_s)
    asyncio.run(cycle(ledger, github, [f"acme/r-{number}" for number in range(5)], access=access))
    ledger.close()
    asked = {"left_s": left_s, "asked": github.requests, "asked_while_refused": github.asked_while_refused}
    sys.stdout.write(json.dumps(asked))


def expired_token(folder: Path) -> list[Figure]:
    """Read 40 repositories with a token that nobody can renew, and that expires when half of them were asked for."""
    ledger, github = _ledger(folder, "expired"), PlayedGitHub(expires_after=20)
    names = [f"acme/r-{number}" for number in range(40)]
    asyncio.run(cycle(ledger, github, names))
    codes = _error_codes(ledger)
    ledger.close()
    return [
        Figure("sources without a row after a token expired", len(names) * len(Source) - codes.total(), "", 0),
        Figure("its rows that say that the token is not accepted", codes["github_auth"], "", 1, at_least=True),
        Figure("its rows that say anything else", codes.total() - codes[None] - codes["github_auth"], "", 0),
    ]


def _error_codes(ledger: Ledger) -> Counter[str | None]:
    """Return how many readings there were by their error's code, None for those that had an answer."""
    with ledger.read() as tx:
        return Counter(tx.execute(select(collection_table.c.error_code)).scalars())


def dagsters_part(folder: Path) -> list[Figure]:
    """Report changed repositories to Dagster, in memory and on this disk, which has to sync for each event."""
    with folder_in_memory() as memory:
        in_memory = reporting_ms(Path(memory))
    return [
        Figure("Dagster, for each changed repository, files in memory", in_memory, "ms", 15),
        Figure("the same on this disk", reporting_ms(folder), "ms"),
    ]


def reporting_ms(folder: Path) -> float:
    """Return how long it takes to report a repository one source of which has changed, as the asset does."""
    repositories_reported, took, settings = 20, 0.0, Settings()
    entries = [_changed(f"acme/r-{number}") for number in range(repositories_reported)]

    @dg.op
    def report_entries(context: dg.OpExecutionContext) -> None:
        nonlocal took
        began = time.perf_counter()
        for entry in entries:
            report_reading(cast("dg.AssetExecutionContext", context), settings, entry, TRACE)
        took = time.perf_counter() - began

    @dg.job
    def reporting() -> None:
        report_entries()

    logging.getLogger("dagster").setLevel(logging.ERROR)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        reporting.execute_in_process(instance=instance)
    return took / repositories_reported * 1000


def _changed(name: str) -> RecordedReading:
    now = utc_now()
    source, status = Source.OPEN_ISSUES, CollectionStatus.FRESH
    signals = tuple(issue_signal(number, repository=name) for number in range(5))
    reading = Collection(repository=name, source=source, status=status, started_at=now, ended_at=now, signals=signals)
    return RecordedReading(reading, RecordedCollection(1, name, source, status, len(signals), 1, None, None, now))


def _ledger(folder: Path, name: str) -> Ledger:
    return Ledger(f"sqlite:///{sqlite_ledger_file(folder / f'{name}.sqlite')}")


def main() -> int:
    """Measure and report, or be the second process of a measurement."""
    if sys.argv[1:2] == [SECOND]:
        second_process(sys.argv[2])
        return 0
    with tempfile.TemporaryDirectory(prefix="squire-signals-") as name:
        folder = Path(name)
        return report(
            "signals", [*all_changed(folder), *few_changed(folder), *with_faults(folder), *dagsters_part(folder)]
        )


if __name__ == "__main__":
    sys.exit(main())
