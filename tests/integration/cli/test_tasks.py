import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from squire_pipelines.cli import fast_list
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import Priority, TaskKind, TaskStatus
from squire_pipelines.domain.verification import LeftOutCheck, ReportedCheck, VerificationReport
from squire_pipelines.home import Home
from squire_pipelines.ledger import attempts, outcomes, store, tables, task_dispatch, task_query
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, read_page
from squire_pipelines.ledger.tasks import Task
from tests.support.cli import REPOSITORY, SampleData, Squire, spec
from tests.support.ledgers import list_tasks, new_sqlite_ledger

WAITS = ("waiting", "waiting_for", "waiting_until")


def _fill(samples: SampleData) -> dict[str, str]:
    ids = {
        "merged": samples.ended(Cause.COMPLETED, "A good one"),
        "failed": samples.ended(Cause.AGENT_ERROR, "A bad one"),
        "again": samples.ended(Cause.LOST, "A lost one"),
        "proposed": samples.task("A proposal", approved=False),
    }
    first, second = samples.plan(spec("Before", key="b"), spec("After", key="c", depends_on=("b",)))[1]
    return ids | {"before": first, "after": second, "elsewhere": samples.task("Elsewhere", repository="acme/api")}


def _waits_for(tx: Transaction, task: Task) -> str | None:
    wait = task_rows.waiting_reason(tx, task)
    return None if wait is None else wait.text


def test_the_quick_list_says_what_the_ledger_says(squire: Squire, samples: SampleData) -> None:
    _fill(samples)
    rows = {row["id"]: row for row in squire.json("tasks", "list")}
    with samples.ledger.read() as tx:
        known = list_tasks(tx)
        assert [task.id for task in known] == list(rows)
        for task in known:
            row = rows[task.id]
            assert row["status"] == task.status
            assert row["waiting"] == _waits_for(tx, task)
            assert (row["title"], row["repository"], row["cause"]) == (task.title, task.repository, task.cause)
            assert (row["attempts"], row["max_attempts"], row["branch"]) == (
                task.attempts,
                task.max_attempts,
                task.branch,
            )
            assert datetime.fromisoformat(row["created_at"]) == task.created_at


def test_the_quick_list_knows_the_states() -> None:
    assert tuple(status.value for status in TaskStatus) == task_query.STATUSES
    assert tuple(status.value for status in TaskStatus if status.is_final) == task_query.FINAL_STATUSES
    assert tuple(kind.value for kind in TaskKind) == task_query.KINDS
    assert tuple(int(priority) for priority in Priority) == task_query.PRIORITIES
    assert tuple(priority.name.lower() for priority in Priority) == task_query.PRIORITY_NAMES


def test_the_list_shows_the_pull_request_and_what_became_of_it(squire: Squire, samples: SampleData) -> None:
    ids = _fill(samples)
    row = next(row for row in squire.json("tasks", "list") if row["id"] == ids["merged"])
    assert (row["pr_number"], row["outcome"]) == (12, "open")
    shown = squire.ok("tasks", "list")
    assert f"https://github.com/{REPOSITORY}/pull/12" in shown
    assert f"depends on {ids['before']}" in shown
    assert "agent_error" in shown


def test_the_list_is_narrowed_by_state_and_repository(squire: Squire, samples: SampleData) -> None:
    ids = _fill(samples)
    assert [row["id"] for row in squire.json("tasks", "list", "--status", "failed")] == [ids["failed"]]
    both = squire.json("tasks", "list", "--status", "failed", "--status", "proposed")
    assert {row["id"] for row in both} == {ids["failed"], ids["proposed"]}
    assert [row["id"] for row in squire.json("tasks", "list", "--repository", "ACME/api")] == [ids["elsewhere"]]
    assert squire.ok("tasks", "list", "--repository", "acme/none") == "No task matches.\n"


def test_pages_hold_every_task_once(squire: Squire, samples: SampleData) -> None:
    _fill(samples)
    every = [row["id"] for row in squire.json("tasks", "list")]
    listed: list[str] = []
    words: list[str] = []
    while page := squire.json("tasks", "list", "--limit", "3", *words):
        listed += [row["id"] for row in page]
        words = ["--after", page[-1]["id"]]
    assert listed == every
    result = squire("tasks", "list", "--limit", "3")
    assert f"squire tasks list --limit 3 --after {every[2]}" in result.stderr


def test_a_page_after_no_task_is_an_error(squire: Squire, samples: SampleData) -> None:
    assert samples
    assert "there is no task 'tnone'" in squire.fails(1, "tasks", "list", "--after", "tnone")


def test_hostile_titles_are_shown_as_plain_text(squire: Squire, samples: SampleData) -> None:
    samples.task("[bold]x[/bold] \x1b[2J :smile: \u202eevil")
    shown = squire.ok("tasks", "list")
    assert "[bold]x[/bold] :smile: evil" in shown
    assert "\x1b" not in shown
    assert "\x1b" not in squire.ok("tasks", "list", "--json")


def test_a_list_without_a_ledger_is_empty_and_makes_none(squire: Squire) -> None:
    assert "There are no tasks yet" in squire.ok("tasks", "list")
    assert squire.json("tasks", "list") == []
    assert not squire.home.exists()
    squire.fails(1, "tasks", "list", "--after", "t1")


@pytest.mark.parametrize("text", ["bogus = 1", "[dispatch]\nmax_concurrent = 0", "not toml"])
def test_settings_that_do_not_hold_stop_the_list_too(squire: Squire, text: str) -> None:
    squire.config(text)
    for _ in range(2):
        assert "hint:" in squire.fails(3, "tasks", "list")


def test_settings_are_checked_once_and_again_when_they_change(
    squire: Squire, samples: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.task()
    squire.config("[dispatch]\nmax_concurrent = 7\n")
    assert fast_list.ledger_path(None, _home()) is None
    assert len(squire.json("tasks", "list")) == 1
    assert fast_list.ledger_path(None, _home()) == squire.home / "ledger.sqlite"
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "0")
    squire.fails(3, "tasks", "list")
    monkeypatch.delenv("SQUIRE_DISPATCH__MAX_CONCURRENT")
    squire.config("[dispatch]\nmax_concurrent = 0 \n")
    squire.fails(3, "tasks", "list")


def _home() -> Home:
    return Home.from_environment()


def test_a_remembered_check_needs_no_cache(squire: Squire, samples: SampleData) -> None:
    samples.task()
    squire.config("[dispatch]\nmax_concurrent = 7\n")
    (squire.home / "cache").write_text("in the way")
    assert len(squire.json("tasks", "list")) == 1


def test_a_config_that_is_named_must_be_there(squire: Squire, tmp_path: Path) -> None:
    assert "does not exist" in squire.fails(3, "--config", str(tmp_path / "none.toml"), "tasks", "list")


def test_the_ledger_of_the_settings_is_read(squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    ledger = store.open_ledger(other)
    task_id = SampleData(ledger).task()
    ledger.close()
    squire.config(f'ledger_url = "{other}"\n')
    assert [row["id"] for row in squire.json("tasks", "list")] == [task_id]
    squire.config("")
    assert squire.json("tasks", "list") == []
    monkeypatch.setenv("SQUIRE_LEDGER_URL", other)
    assert [row["id"] for row in squire.json("tasks", "list")] == [task_id]


def test_an_address_that_the_quick_way_does_not_know_is_read_the_slow_way(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_LEDGER_URL", f"sqlite:///{tmp_path / 'a%20b.sqlite'}")
    with closing(new_sqlite_ledger(tmp_path / "a%20b.sqlite")) as ledger:
        SampleData(ledger).task()
    assert len(squire.json("tasks", "list")) == 1


def test_a_file_that_is_no_ledger_is_an_error(squire: Squire) -> None:
    squire.home.mkdir()
    (squire.home / "ledger.sqlite").write_text("no database at all, " * 100)
    assert "is not a database" in squire.fails(1, "tasks", "list")


def test_a_newer_ledger_is_refused(squire: Squire, samples: SampleData) -> None:
    with samples.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "has schema 9999" in squire.fails(3, "tasks", "list")


def test_the_same_page_comes_from_every_database(ledger: Ledger) -> None:
    samples = SampleData(ledger)
    ids = _fill(samples)
    query = TaskQuery(statuses=("ready",), repository="Acme/Shop", limit=2)
    with ledger.read() as tx:
        page = read_page(tx.query_runner(), query, now=tx.now)
        rest = read_page(tx.query_runner(), replace(query, after=page.next_after), now=tx.now)
        waiting = {task.id: _waits_for(tx, task) for task in list_tasks(tx)}
    rows = [*page.rows, *rest.rows]
    assert {row.id for row in rows} == {ids["again"], ids["before"], ids["after"]}
    assert all(row.waiting == waiting[row.id] for row in rows)
    assert all(row.created_at.tzinfo is not None for row in rows)
    assert isinstance(page, TaskPage)


@pytest.mark.slow
def test_show_tells_the_whole_story(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.AGENT_ERROR, "A bad one", message="the agent gave up")
    shown = squire.ok("tasks", "show", task_id)
    for part in (
        "A bad one",
        "the agent gave up",
        "Attempt 1: ended, agent_error",
        "exit code:     7",
        "what to do:    `squire tasks logs ID` has its last words.",
        "last line",
        "agent 1m",
        "Do it well.",
        "running → failed",
        "1 of 3",
    ):
        assert part in shown
    whole = squire.json("tasks", "show", task_id)
    assert whole["spec"]["prompt"] == "Do it well."
    assert whole["attempt_rows"][0]["cause"] == "agent_error"
    assert "lease_token" not in whole["attempt_rows"][0]
    assert [event["after"] for event in whole["events"] if event["subject"] == "task"][-1] == "failed"
    assert whole["outcome"] is None


def test_show_has_the_pull_requests_outcome(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    shown = squire.ok("tasks", "show", task_id)
    assert "Outcome" in shown
    assert "Life of the pull request" in shown
    whole = squire.json("tasks", "show", task_id)
    assert whole["outcome"]["pr_number"] == 12
    assert [(step["step"], step["trace_id"]) for step in whole["life"]] == [("open", whole["trace_id"])]


def test_show_has_what_the_policy_found(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.POLICY_REJECTED)
    verdict = {"findings": [{"path": "x\x1b[2J.py", "message": "is protected"}, "of another shape", {"rule": "files"}]}
    with samples.ledger.write() as tx:
        tx.execute(update(tables.attempts).values(verdict=verdict))
    shown = squire.ok("tasks", "show", task_id)
    assert "policy: x.py is protected" in shown
    assert "policy: files" in shown


def test_a_task_that_is_not_there_is_an_error(squire: Squire, samples: SampleData) -> None:
    assert samples
    assert "there is no task 'tnone'" in squire.fails(1, "tasks", "show", "tnone")


def test_approval_lets_a_proposed_task_run(squire: Squire, samples: SampleData) -> None:
    task_id = samples.task(approved=False)
    assert squire.ok("tasks", "approve", task_id, task_id) == f"{task_id}: ready\n"
    assert samples.read(task_rows.get, task_id).status is TaskStatus.READY
    assert samples.read(task_rows.events, task_id)[-1].actor.startswith("cli:")


def test_one_task_that_cannot_be_changed_does_not_keep_the_others(squire: Squire, samples: SampleData) -> None:
    ready, proposed = samples.task("Ready"), samples.task("Proposed", approved=False)
    output = squire.fails(1, "tasks", "approve", ready, "tnone", proposed)
    assert f"task {ready} is not proposed" in output
    assert "there is no task 'tnone'" in output
    assert samples.read(task_rows.get, proposed).status is TaskStatus.READY


def test_a_person_sets_a_priority_and_the_history_says_who(squire: Squire, samples: SampleData) -> None:
    task_id, other = samples.task("A slow one"), samples.task("Another", repository="acme/api")
    assert squire.ok("tasks", "priority", task_id, "critical") == f"{task_id}: ready, priority critical\n"
    refused = squire.fails(5, "tasks", "priority", "--all", "--repository", "acme/api", "low")
    assert "nobody is there to ask whether to set the priority of 1 task\n" in refused
    assert squire.ok("tasks", "priority", "--all", "--repository", "acme/api", "--yes", "low").startswith(other)
    shown = squire.ok("tasks", "show", task_id)
    assert re.search(r"priority +critical", shown)
    assert re.search(r"queue +medium → critical", shown)
    assert [row["id"] for row in squire.json("tasks", "list", "--order", "priority")] == [task_id, other]
    assert "'urgent' is not one of" in squire.fails(2, "tasks", "priority", task_id, "urgent")
    done = samples.ended(Cause.COMPLETED, "Done")
    assert "has succeeded already" in squire.fails(1, "tasks", "priority", done, "high")


def test_rejecting_ends_a_proposal_and_nothing_else(squire: Squire, samples: SampleData) -> None:
    proposed, ready = samples.task("Proposed", approved=False), samples.task("Ready")
    squire.ok("tasks", "reject", proposed, "--reason", "not worth it")
    task = samples.read(task_rows.get, proposed)
    assert (task.status, task.message) == (TaskStatus.CANCELLED, "not worth it")
    assert f"squire tasks cancel {ready}" in squire.fails(1, "tasks", "reject", ready)
    assert samples.read(task_rows.get, ready).status is TaskStatus.READY


def test_cancelling_ends_a_waiting_task_and_asks_a_running_one(squire: Squire, samples: SampleData) -> None:
    attempt = samples.running()
    waiting = samples.task("Waiting")
    output = squire.ok("tasks", "cancel", waiting, attempt.task_id)
    assert output == f"{waiting}: cancelled\n{attempt.task_id}: asked to stop\n"
    assert "running (cancelling)" in squire.ok("tasks", "list")
    assert "asked for" in squire.ok("tasks", "show", attempt.task_id)
    assert "has cancelled already" in squire.fails(1, "tasks", "cancel", waiting)


def test_a_retry_gives_the_tries_of_the_settings(squire: Squire, samples: SampleData) -> None:
    squire.config("[dispatch]\nmax_attempts = 2\n")
    task_id = samples.ended(Cause.AGENT_ERROR)
    assert squire.ok("tasks", "retry", task_id) == f"{task_id}: ready, up to 2 more attempts\n"
    task = samples.read(task_rows.get, task_id)
    assert (task.status, task.max_attempts) == (TaskStatus.READY, 3)
    assert "only failed and cancelled tasks" in squire.fails(1, "tasks", "retry", task_id)


def test_start_approves_what_is_named_or_all_after_asking(squire: Squire, samples: SampleData) -> None:
    one, two, three = (samples.task(title, approved=False) for title in ("One", "Two", "Three"))
    squire.ok("tasks", "start", one)
    assert "nobody is there to ask" in squire.fails(5, "tasks", "start")
    assert samples.read(task_rows.get, two).status is TaskStatus.PROPOSED
    squire.ok("tasks", "start", "--yes")
    assert {samples.read(task_rows.get, task_id).status for task_id in (two, three)} == {TaskStatus.READY}
    assert squire.ok("tasks", "start") == "No task waits for approval.\n"


def test_start_puts_a_named_task_before_all_others(squire: Squire, samples: SampleData) -> None:
    first, named = samples.task("First"), samples.task("Named", approved=False)
    assert squire.ok("tasks", "start", named) == f"{named}: ready, before all others\n"
    assert "depends on" not in squire.ok("tasks", "show", named)
    with samples.ledger.write() as tx:
        (attempt,) = task_dispatch.dispatch(tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=60)
    assert attempt.task_id == named
    assert re.search(r"queue +first: started by a person \(by cli:\w+\)", squire.ok("tasks", "show", named))
    assert squire.json("audit", "list", "--action", "tasks.start")[0]["detail"]["tasks"] == [named]
    assert f"task {named} is running" in squire.fails(1, "tasks", "start", named)
    assert samples.read(task_rows.get, first).status is TaskStatus.READY


@pytest.mark.parametrize(
    ("text", "opened", "reason"),
    [
        ("", 2, "2 new in an hour, at most 2 (dispatch.max_new_pull_requests_per_hour)"),
        ("[dispatch]\nmax_open_pull_requests = 1\n", 1, "1 open, at most 1 (dispatch.max_open_pull_requests)"),
    ],
)
def test_a_list_says_for_which_cap_a_task_waits_and_until_when(
    squire: Squire, samples: SampleData, text: str, opened: int, reason: str
) -> None:
    squire.config(text)
    for number in range(opened):
        task_id, url = samples.task(f"Opened {number}"), f"https://x/{number}"
        with samples.ledger.write() as tx:
            outcomes.record_opened(
                tx, task_id=task_id, repository=REPOSITORY, pr_number=number, pr_url=url, head_sha="a" * 40
            )
            moment = tx.now - timedelta(minutes=30)
            tx.execute(update(tables.outcomes).values(opened_at=moment))
        squire.ok("tasks", "cancel", task_id)
    blocked = samples.task("Blocked")
    (row,) = [row for row in squire.json("tasks", "list") if row["id"] == blocked]
    shown = squire.json("tasks", "show", blocked)
    assert (row["priority"], row["waiting_for"]) == ("medium", "cap")
    assert reason in row["waiting"]
    assert [row[name] for name in WAITS] == [shown[name] for name in WAITS]
    frees_at = None if text else moment + timedelta(hours=1)
    assert (row["waiting_until"] and datetime.fromisoformat(row["waiting_until"])) == frees_at
    assert squire.json("tasks", "list", "--status", "cancelled")[0]["waiting_for"] is None


def test_watch_ends_when_nothing_is_under_way(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    samples.task("Waits for a person", approved=False)
    result = squire("tasks", "watch")
    assert result.exit_code == 0
    assert f"{task_id} {REPOSITORY} End it: succeeded, completed" in result.stdout
    assert "1 succeeded" in result.stderr
    assert "squire tasks approve" in result.stderr


def test_watch_once_shows_the_table(squire: Squire, samples: SampleData) -> None:
    samples.running("Under way")
    assert "Under way" in squire.ok("tasks", "watch", "--once")
    squire.ok("tasks", "watch", "--interval", "1", "--timeout", "1")


def test_rows_of_the_list_are_json_of_plain_values(squire: Squire, samples: SampleData) -> None:
    _fill(samples)
    assert json.dumps(squire.json("tasks", "list")).isascii()


@pytest.mark.slow
def test_a_retry_that_has_to_wait_says_until_when(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.LOST)
    later = datetime.now(UTC) + timedelta(days=2)
    with samples.ledger.write() as tx:
        tx.execute(update(tables.tasks).where(tables.tasks.c.id == task_id).values(not_before=later))
    assert squire.json("tasks", "list")[0]["waiting"] == f"not before {later:%Y-%m-%d %H:%M:%S} UTC"


def test_a_user_without_a_name_can_approve(
    squire: Squire, samples: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    task_id = samples.task(approved=False)
    squire.ok("tasks", "approve", task_id)
    assert samples.read(task_rows.events, task_id)[-1].actor == "cli:unknown"


def test_what_a_task_depends_on_is_shown_and_said_when_somebody_starts_it(squire: Squire, samples: SampleData) -> None:
    before, after = samples.plan(spec("Before", key="b"), spec("After", key="c", depends_on=("b",)))[1]
    assert re.search(rf"depends on:? +{before} \(ready\)", squire.ok("tasks", "show", after))
    assert squire.json("tasks", "show", after)["depends_on"] == [{"task_id": before, "status": "ready"}]
    output = squire.ok("tasks", "start", after)
    assert output == f"{after}: ready, before all others, as soon as {before} succeeded\n"


def test_watching_named_tasks_says_by_its_exit_code_whether_they_succeeded(squire: Squire, samples: SampleData) -> None:
    done, failed = samples.ended(Cause.COMPLETED, "Good"), samples.ended(Cause.AGENT_ERROR, "Bad")
    ready = samples.task("Ready")
    shown = squire("tasks", "watch", done, done)
    assert (shown.exit_code, shown.stderr) == (0, "1 succeeded\n")
    assert f"{done} {REPOSITORY} Good: succeeded" in shown.stdout
    assert "1 succeeded, 1 failed" in squire.fails(1, "tasks", "watch", done, failed)
    message = squire.fails(1, "tasks", "watch", ready, "--interval", "1", "--timeout", "1")
    assert f"{ready} did not end within 1 s" in message
    assert f"squire tasks show {ready}" in message
    assert "Ready" in squire.ok("tasks", "watch", ready, "--once")
    assert "no task" in squire.fails(1, "tasks", "watch", "tnone", done)
    squire.fails(2, "tasks", "watch", done, "--repository", REPOSITORY)


@pytest.mark.parametrize(
    ("answer", "numbers"), [("1\n", [1]), ("all\n", [0, 1]), ("7\nnope\n2,1\n", [0, 1]), ("\n", [])]
)
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_which_proposed_tasks_are_meant_is_asked_where_none_is_named(
    squire: Squire, samples: SampleData, action: str, answer: str, numbers: list[int]
) -> None:
    ids = [samples.task(f"Task {number}", approved=False) for number in range(2)]
    shown = squire.ok("tasks", action, stdin=answer)
    assert "Task 1" in shown
    status = {"approve": "ready", "reject": "cancelled"}[action]
    rows = {row["id"]: row["status"] for row in squire.json("tasks", "list")}
    assert [rows[one] for one in ids] == [status if number in numbers else "proposed" for number in range(2)]


def test_nothing_is_asked_where_no_task_is_proposed_and_nothing_invented_where_nobody_answers(
    squire: Squire, samples: SampleData
) -> None:
    samples.task("Ready")
    assert squire.ok("tasks", "approve") == "No task waits for approval.\n"
    samples.task("Proposed", approved=False)
    assert "name tasks by their ids" in squire.fails(2, "tasks", "approve")
    squire.fails(2, "tasks", "approve", stdin="x\n")


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 1), ("perhaps\n", 5), ("\n", 5), (None, 5)]
)
def test_a_piped_answer_is_heard_and_none_invented(
    squire: Squire, samples: SampleData, answer: str | None, code: int
) -> None:
    task_id = samples.task(approved=False)
    assert squire("tasks", "start", stdin=answer).exit_code == code
    assert samples.read(task_rows.get, task_id).status == ("ready" if code == 0 else "proposed")


def test_a_task_says_what_verified_it(squire: Squire, samples: SampleData) -> None:
    attempt = samples.running()
    assert attempt.lease_token
    checks = (ReportedCheck(name="tests", passed=True), ReportedCheck(name="lint", passed=False, detail="exit code 1"))
    with samples.ledger.write() as tx:
        report = VerificationReport(passed=False, checks=checks, left_out=(LeftOutCheck(name="build", by="task"),))
        facts = AttemptFacts(verification=report)
        attempts.note(tx, attempt.id, attempt.lease_token, facts)
    shown = squire.ok("tasks", "show", attempt.task_id)
    words = "verification: failed; tests passed; lint failed: exit code 1; build was left out: the task leaves it out"
    assert words in re.sub(" +", " ", shown)
