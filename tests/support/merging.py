"""A pull request of ours on a forge that a module shares, with a ledger that knows it: for the tests of merging."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from squire_forge.process import ForgeProcess
from squire_pipelines.execution.following import take_steps
from squire_pipelines.execution.merge_looks import look_at_merges
from squire_pipelines.execution.merging import has_to_merge
from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pull_request_reports import pull_request_reports
from squire_pipelines.ledger import base_watches, merges, outcomes
from squire_pipelines.ledger.base_watches import WatchedBase
from squire_pipelines.ledger.merges import RecordedMerge
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.git_repository import Checkout
from tests.support.ledgers import REPOSITORY, Clock, add_task, sqlite_ledger_file

OWNER, _, NAME = REPOSITORY.partition("/")
EXPECTATION = {"check": "test", "path": "src/app.py", "pattern": "def add"}
ON: dict[str, Any] = {"enabled": True, "approvals": 0}
_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class OurPull:
    """A pull request of a task on a forge, looked at as the job `follow` does."""

    def __init__(self, forge: ForgeProcess, checkout: Checkout, folder: Path, number: int) -> None:
        self.forge, self.checkout = forge, checkout
        self.clock = Clock()
        self.ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}", clock=self.clock)
        self.settings(**ON)
        self.rules()
        self.branch = f"squire/t{number}"
        checkout.git("fetch", "--quiet", "origin")
        checkout.git("checkout", "--quiet", "-B", self.branch, "origin/main")
        checkout.write(f"notes/{number}.md", "a note\n")
        self.head = self.push()
        self.task_id = add_task(self.ledger)
        ref = self.run(
            lambda client: pulls.create_pull_request(
                client, REPOSITORY, title="A note", body="", head=self.branch, base="main", draft=False
            )
        )
        self.number = ref.number
        with self.ledger.write() as tx:
            outcomes.record_opened(
                tx,
                task_id=self.task_id,
                repository=REPOSITORY,
                pr_number=ref.number,
                pr_url=ref.url,
                head_sha=self.head,
            )
        forge.settle()

    def push(self) -> str:
        """Commit all and push; return the new head."""
        head = self.checkout.commit()
        url = self.forge.git_url(REPOSITORY).replace("://", f"://x-access-token:{self.forge.token}@")
        self.checkout.git("push", "--quiet", "--force", url, f"HEAD:refs/heads/{self.branch}")
        return head

    def settings(self, *, reverts: bool = False, **merge: object) -> None:
        """Set the section `follow.merge`, and whether reverts are proposed."""
        follow = {"merge": merge, "after_merge": {"revert": reverts}}
        self.current = Settings(repositories=(REPOSITORY,), follow=follow)

    def settings_of(self, _: str) -> Settings:
        """Return the settings of the only repository."""
        return self.current

    def rules(self, **rules: object) -> None:
        """Set how the repository lets pull requests be merged."""
        self.act("mira", permission="write", merging=rules)

    def act(self, login: str, **act: object) -> None:
        """Act as a person, on the pull request where the act needs a number."""
        self.forge.act_as(REPOSITORY, login, **act)

    def run(self, act: Callable[[GitHubClient], Awaitable[_T]]) -> _T:
        """Call the forge with our client."""
        github = GitHubSettings(api_url=self.forge.api_url, min_write_interval_s=0)

        async def go() -> _T:
            async with GitHubClient(github, self.forge.token, attempts=1) as client:
                return await act(client)

        return asyncio.run(go())

    def look(self) -> None:
        """Read what GitHub says, take the step, and look at the merge, half an hour after the last time.

        Times of the forge have whole seconds: what happens within one would be no news.
        """
        self.clock.forward(1_860)

        async def go(client: GitHubClient) -> None:
            answered = await pull_request_reports(client, {REPOSITORY: [self.number]})
            with self.ledger.write() as tx:
                for report in answered.reports.values():
                    outcomes.apply_report(tx, report, actor="poll")
            take_steps(self.ledger, self.settings_of)
            await look_at_merges(self.ledger, client, self.settings_of, _LOG)

        self.run(go)

    @property
    def is_due(self) -> bool:
        """Whether the sensor would have GitHub asked about its merge."""
        return has_to_merge(self.ledger, self.settings_of)

    @property
    def outcome(self) -> Outcome:
        """What the ledger has of it."""
        with self.ledger.read() as tx:
            outcome = outcomes.get(tx, self.task_id)
        assert outcome is not None
        return outcome

    @property
    def merge(self) -> RecordedMerge:
        """What the ledger has of its merge."""
        with self.ledger.read() as tx:
            record = merges.get(tx, self.task_id)
        assert record is not None
        return record

    @property
    def base(self) -> WatchedBase:
        """What the ledger has of the base branch after its merge."""
        with self.ledger.read() as tx:
            watched = base_watches.get(tx, self.task_id)
        assert watched is not None
        return watched

    @property
    def hosted_pulls(self) -> list[dict[str, Any]]:
        """All pull requests as the forge has them."""
        (repository,) = [one for one in self.forge.state()["repositories"] if one["name"] == REPOSITORY]
        return list(repository["pull_requests"])

    @property
    def hosted(self) -> dict[str, Any]:
        """The pull request as the forge has it."""
        (pull,) = [one for one in self.hosted_pulls if one["number"] == self.number]
        return pull
