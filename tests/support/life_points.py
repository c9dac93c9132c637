"""How many of GitHub's points following costs: a hundred open pull requests of ours, an hour that passes.

The forge counts as GitHub documents it: a GraphQL query one point for each hundred connections, a request of REST one.
"""

from collections import Counter
from collections.abc import Sequence

import httpx

from squire_forge import events, operations, store, store_checks
from squire_forge.hosting import HostRequest, host
from squire_forge.records import CheckRun, Repository
from squire_pipelines.ledger import outcomes
from tests.support.git_repository import git
from tests.support.ledgers import add_task
from tests.support.life_squire import LifeSquire
from tests.support.life_world import OWNER, LifeForge, sample

PULLS, REPOSITORIES = 100, 20
_STEP_S, _HOUR_S = 10.0, 3600.0


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts what GitHub says of its limits in its answers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._seen: dict[str, int] = {}
        self.points: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and count."""
        response = await self._transport.handle_async_request(request)
        kind, used = response.headers.get("x-ratelimit-resource"), int(response.headers.get("x-ratelimit-used", 0))
        if kind is not None:
            self.points[kind] += used - self._seen.get(kind, 0)
            self._seen[kind] = used
        return response


class FollowedHour:
    """An hour in which a hundred pull requests of ours are open, in twenty repositories.

    Args:
        forge: Hosts them.
        squire: Follows them; its settings name the repositories.
    """

    def __init__(self, forge: LifeForge, squire: LifeSquire) -> None:
        self._forge, self._squire = forge, squire
        self._names = [self._host(number) for number in range(REPOSITORIES)]
        for place in range(PULLS):
            self._open(self._names[place % REPOSITORIES], place // REPOSITORIES)
        forge.take_deliveries()

    def _host(self, number: int) -> str:
        name = f"shop{number}"
        content = {"owner": OWNER, "name": name, "path": sample()}
        host(self._forge.world, HostRequest.model_validate(content))
        return f"{OWNER}/{name}"

    def _repository(self, con: object, name: str) -> Repository:
        owner, _, short = name.partition("/")
        repository = store.find_repository(con, owner, short)  # type: ignore[arg-type] # a connection
        assert repository is not None
        return repository

    def _open(self, name: str, place: int) -> None:
        bare = self._forge.world.repositories_dir / f"{name}.git"
        tip = git(bare, "rev-parse", "refs/heads/main")
        head = git(bare, "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", f"Ours {place}")
        branch = f"squire/ours-{place}"
        git(bare, "update-ref", f"refs/heads/{branch}", head)
        with self._forge.world.lock, self._forge.world.database.writing() as con:
            view, repository = self._forge.view(con), self._repository(con, name)
            store.set_branch(con, repository.id, branch, head, self._forge.world.now())
            request = operations.NewPull(title="Ours", head=branch, base="main")
            pull = operations.create_pull(view, repository, request, operations.viewer(view))
            _add_passed_check(con, repository, head, branch, self._forge.world.now())
        task_id = add_task(self._squire.ledger, repository=name)
        with self._squire.ledger.write() as tx:
            url = f"https://x/{name}/pull/{pull.number}"
            outcomes.record_opened(
                tx, task_id=task_id, repository=name, pr_number=pull.number, pr_url=url, head_sha=head
            )

    def pass_by(self, *, delivers: bool) -> None:
        """Let the hour pass; with `delivers` each pull request gets a label and a check that passed, as deliveries."""
        steps = int(_HOUR_S / _STEP_S)
        for step in range(steps):
            self._squire.clock.forward(_STEP_S)
            if delivers:
                for place in range(PULLS):
                    if place * steps // PULLS == step:
                        self._happen(self._names[place % REPOSITORIES], place // REPOSITORIES)
            self._squire.follow_what_is_due()

    def _happen(self, name: str, place: int) -> None:
        with self._forge.world.lock, self._forge.world.database.writing() as con:
            view, repository = self._forge.view(con), self._repository(con, name)
            pulls = [pull for pull in store.pulls(con, repository) if pull.head_ref == f"squire/ours-{place}"]
            viewer = operations.viewer(view)
            operations.add_labels(view, pulls[0], ["seen"], viewer)
            suite = store_checks.suite(con, repository, pulls[0].head_sha)
            runs: Sequence[CheckRun] = store_checks.check_runs(con, suite) if suite else ()
            for run in runs:
                events.emit_check_run(view, run, pulls, viewer)
        for delivery in self._forge.take_deliveries():
            self._squire.receive(delivery, name)


def _add_passed_check(con: object, repository: Repository, sha: str, branch: str, now: str) -> None:
    suite_id = store.insert(
        con,  # type: ignore[arg-type] # a connection
        "suites",
        repository_id=repository.id,
        sha=sha,
        branch=branch,
        conclusion="success",
        created_at=now,
    )
    store.insert(
        con,  # type: ignore[arg-type] # a connection
        "check_runs",
        suite_id=suite_id,
        name="tests",
        conclusion="success",
        title="",
        summary="",
        text="",
        started_at=now,
        completed_at=now,
    )
