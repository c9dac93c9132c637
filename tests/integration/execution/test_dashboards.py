"""A repository's dashboard: one issue, whose boxes do what they say once, and which people can turn off."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stamina
from sqlalchemy import delete, select

from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.execution.dashboards import has_dashboard_work, keep_dashboards
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import dashboards, tasks
from squire_pipelines.ledger.dashboards import DashboardState
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import dashboard_ticks
from squire_pipelines.ledger.tables import dashboards as dashboard_table
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.github_json import API_URL
from tests.support.ledgers import REPOSITORY, Clock, add_task, settle, start_attempt

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


class Issues(httpx.AsyncBaseTransport):
    """The issues of one repository with the history of their texts; `loses` answers after it has written."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.issues: list[dict[str, Any]] = []
        self.edits: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.loses = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        content = json.loads(request.content or b"{}")
        if request.url.path.endswith("/graphql"):
            return httpx.Response(200, json={"data": self._graph(content["query"])})
        path = request.url.path.removeprefix(f"/api/v3/repos/{REPOSITORY}")
        if path.startswith("/collaborators/"):
            level = "write" if path.split("/")[2] == "ann" else "read"
            return httpx.Response(200, json={"permission": level, "role_name": level})
        if request.method == "GET":
            return httpx.Response(200, json=self.issues)
        self.writes.append(f"{request.method} {path}")
        if request.method == "POST":
            self.issues.append({"number": 5, "user": {"login": "squire-bot"}, "state": "open", "body": ""})
        if "body" in content:
            self.edit(content["body"], "squire-bot")
        if "state" in content:
            self.issue["state"] = content["state"]
        if self.loses:
            self.loses -= 1
            return httpx.Response(502)
        return httpx.Response(200, json=self.issue)

    def _graph(self, query: str) -> dict[str, Any]:
        if not self.issues and "OwnDashboard" in query:
            return {"repository": {"issue": None}}
        if "OwnDashboard" not in query:
            return {"viewer": {"login": "squire-bot", "databaseId": 1}, "repository": {"url": "https://x/o/r"}}
        edits = {"nodes": self.edits[::-1][:30]}
        issue = {"state": self.issue["state"].upper(), "body": self.issue["body"], "viewerDidAuthor": True}
        author = {"login": "squire-bot", "__typename": "User"}
        return {"repository": {"issue": issue | {"author": author, "newest": edits, "oldest": edits}}}

    @property
    def issue(self) -> dict[str, Any]:
        """The only one."""
        (issue,) = self.issues
        return issue

    @property
    def text(self) -> str:
        """Its text."""
        return str(self.issue["body"])

    def edit(self, text: str, login: str) -> None:
        """Give it a new text, as GitHub keeps it."""
        self.clock.forward(1)
        self.issue["body"] = text
        actor = {"login": login, "__typename": "User"}
        self.edits.append({"editedAt": self.clock.now.isoformat(), "diff": text, "editor": actor})

    def tick(self, action: str, task_id: str, login: str) -> None:
        """Tick a box."""
        (line,) = [line for line in self.text.splitlines() if f" {action} {task_id} " in line]
        self.edit(self.text.replace(line, line.replace("[ ]", "[x]")), login)


class Boards:
    """A ledger and GitHub, and looks at the dashboard by processes of their own."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock, self.github = ledger, clock, Issues(clock)
        self.enable(dashboard=True)

    def enable(self, *, dashboard: bool) -> None:
        """Switch it on or off."""
        content = {"repositories": [REPOSITORY], "follow": {"dashboard": dashboard}}
        self.settings = Settings.model_validate(content)

    async def look(self, *, after_s: float = 3_600) -> int:
        """Look at what is due."""
        self.clock.forward(after_s)
        github = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        async with GitHubClient(github, "t", http=httpx.AsyncClient(transport=self.github)) as client:
            log = logging.getLogger("boards")
            return await keep_dashboards(self.ledger, client, self.settings, lambda _: self.settings, log)

    @property
    def is_due(self) -> bool:
        """Whether there is something to do."""
        return has_dashboard_work(self.ledger, self.settings, lambda _: self.settings)

    def status(self, task_id: str) -> TaskStatus:
        """A task's state."""
        with self.ledger.read() as tx:
            return tasks.get(tx, task_id).status

    @property
    def state(self) -> DashboardState | None:
        """The dashboard's."""
        with self.ledger.read() as tx:
            board = dashboards.get(tx, REPOSITORY)
        return board.state if board is not None else None


@pytest.fixture
def boards(ledger: Ledger, clock: Clock) -> Boards:
    return Boards(ledger, clock)


async def test_it_shows_the_work_and_is_written_only_when_it_changes(boards: Boards) -> None:
    task_id = add_task(boards.ledger)
    assert boards.is_due
    assert await boards.look() == 1
    assert DASHBOARD_MARK in boards.github.text
    assert f"`{task_id}`" in boards.github.text
    writes = len(boards.github.writes)
    await boards.look()
    assert len(boards.github.writes) == writes
    assert not boards.is_due
    another = add_task(boards.ledger)
    boards.clock.forward(30)
    assert boards.is_due, "a task has come"
    await boards.look(after_s=0)
    assert another in boards.github.text


async def test_a_lost_answer_and_a_lost_row_open_no_second_issue(boards: Boards) -> None:
    boards.github.loses = 1
    assert await boards.look() == 0
    assert await boards.look() == 1
    with boards.ledger.write() as tx:
        tx.execute(delete(dashboard_table))
    assert await boards.look() == 1
    assert [call for call in boards.github.writes if call.startswith("POST")] == ["POST /issues"]


async def test_a_tick_of_who_may_is_done_once_and_unticked_also_when_a_rewriting_took_it(boards: Boards) -> None:
    task_id = add_task(boards.ledger)
    await boards.look()
    before = boards.github.text
    boards.github.tick("stop", task_id, "ann")
    boards.github.edit(before, "squire-bot")  # as our writing that had been rendered before
    await boards.look()
    assert boards.status(task_id) is TaskStatus.CANCELLED
    assert "[x]" not in boards.github.text
    with boards.ledger.read() as tx:
        (tick,) = tx.execute(select(dashboard_ticks)).all()
        actors = [event.actor for event in tasks.events(tx, task_id)]
    assert (tick.action, tick.use) == ("stop", 0)
    assert actors[-1] == "github:ann"
    count = len(actors)
    await boards.look()
    with boards.ledger.read() as tx:
        assert len(tasks.events(tx, task_id)) == count


async def test_who_may_not_write_orders_nothing_and_the_box_can_be_ticked_again(boards: Boards) -> None:
    task_id = add_task(boards.ledger)
    await boards.look()
    boards.github.tick("stop", task_id, "eve")
    await boards.look()
    assert boards.status(task_id) is TaskStatus.READY
    assert f"stop {task_id} 1 -->" in boards.github.text
    boards.github.tick("stop", task_id, "ann")
    await boards.look()
    assert boards.status(task_id) is TaskStatus.CANCELLED


async def test_who_closes_it_turns_it_off_until_it_is_opened_again(boards: Boards) -> None:
    await boards.look()
    boards.github.issue["state"] = "closed"
    add_task(boards.ledger)
    writes = len(boards.github.writes)
    await boards.look()
    await boards.look()
    assert (boards.state, len(boards.github.writes)) == (DashboardState.CLOSED, writes)
    boards.github.issue["state"] = "open"
    with boards.ledger.write() as tx:
        dashboards.wake(tx, REPOSITORY)
    assert boards.is_due, "a delivery said so"
    await boards.look()
    assert (boards.state, len(boards.github.writes)) == (DashboardState.OPEN, writes + 1)


async def test_settings_turn_it_off_and_on(boards: Boards) -> None:
    await boards.look()
    boards.enable(dashboard=False)
    await boards.look()
    assert (boards.github.issue["state"], boards.is_due) == ("closed", False)
    boards.enable(dashboard=True)
    await boards.look()
    assert (boards.github.issue["state"], boards.state) == ("open", DashboardState.OPEN)


async def test_a_failed_task_is_tried_again_by_its_box(boards: Boards) -> None:
    attempt = start_attempt(boards.ledger)
    settle(boards.ledger, attempt, Cause.POLICY_REJECTED)
    await boards.look()
    assert f"## Failed\n\n- `{attempt.task_id}` " in boards.github.text
    assert ": policy\\_rejected" in boards.github.text or ": policy_rejected" in boards.github.text
    boards.github.tick("retry", attempt.task_id, "ann")
    await boards.look()
    assert boards.status(attempt.task_id) is TaskStatus.READY
    assert f" run {attempt.task_id} 0 -->" in boards.github.text


async def test_an_issue_that_was_deleted_is_not_opened_again_by_itself(boards: Boards) -> None:
    await boards.look()
    boards.github.issues.clear()
    await boards.look()
    assert (boards.state, boards.is_due) == (DashboardState.GONE, False)
    boards.enable(dashboard=False)
    await boards.look()
    assert boards.state is None
