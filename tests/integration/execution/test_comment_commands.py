"""Orders in comments: a delivery of GitHub's, the authority of its author at a forge, and the task that it makes."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.signals import OpenIssue, OpenPullRequest
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import bulk, collections, decisions, deliveries, outcomes, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.tasks import Task
from tests.support.deliveries import record_delivery
from tests.support.ledgers import add_task, list_tasks
from tests.support.pipeline import HANDBOOK, WEBSHOP, Pipeline

MAY, MAY_NOT = "mara", "passer-by"


def comment(
    body: str,
    *,
    login: str = MAY,
    kind: str = "User",
    repository: str = HANDBOOK,
    number: int = 1,
    comment_id: int = 77,
    pull: bool = False,
    text: str = "Say how it is installed.",
    created_at: str | None = "2100-01-01T00:00:00Z",
) -> bytes:
    """The body of a delivery as GitHub sends it, with what is read of it."""
    issue: dict[str, Any] = {
        "number": number,
        "title": "No word on installing",
        "body": text,
        "labels": [{"name": "docs"}],
        "user": {"login": MAY_NOT, "type": "User"},
    }
    if pull:
        issue["pull_request"] = {"url": f"https://api.github.test/repos/{repository}/pulls/{number}"}
    page = f"https://github.test/{repository}/issues/{number}#issuecomment-{comment_id}"
    written = {
        "id": comment_id,
        "body": body,
        "html_url": page,
        "created_at": created_at,
        "user": {"login": login, "type": kind},
    }
    envelope = {"action": "created", "repository": {"id": 1, "full_name": repository}, "sender": {"login": login}}
    return json.dumps({**envelope, "issue": issue, "comment": written}).encode()


def put(pipeline: Pipeline, body: bytes, *, delivery_id: str, repository: str = HANDBOOK) -> int:
    """Put a delivery into the inbox and return its row."""
    row = record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id=delivery_id,
        event="issue_comment",
        action=json.loads(body)["action"],
        repository=repository,
        body=body,
    )
    return row.id


def deliver(pipeline: Pipeline, body: bytes, *, delivery_id: str = "d1", repository: str = HANDBOOK) -> int:
    """Put a delivery into the inbox and have its repository read."""
    row_id = put(pipeline, body, delivery_id=delivery_id, repository=repository)
    pipeline.collect(repository, deliveries=[row_id])
    return row_id


def made(pipeline: Pipeline) -> list[Task]:
    with pipeline.ledger.read() as tx:
        return list(list_tasks(tx))


def refusals(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as tx:
        return [str(row.detail["reason"]) for row in audit_page(tx, limit=20) if row.action == "command.refused"]


def issue_number(pipeline: Pipeline) -> int:
    """Return the number of the issue that the repository has."""
    with pipeline.ledger.read() as tx:
        read = [signal.details for signal in collections.active_signals(tx, HANDBOOK)]
    return next(details.number for details in read if isinstance(details, OpenIssue))


def read_pull_request(pipeline: Pipeline) -> OpenPullRequest:
    """Read the web shop and return its pull request."""
    pipeline.collect(WEBSHOP)
    with pipeline.ledger.read() as tx:
        read = [signal.details for signal in collections.active_signals(tx, WEBSHOP)]
    (pull,) = [details for details in read if isinstance(details, OpenPullRequest)]
    return pull


@pytest.fixture
def forge_people(forge: ForgeProcess) -> ForgeProcess:
    forge.act_as(HANDBOOK, MAY, permission="write")
    forge.act_as(WEBSHOP, MAY, permission="write")
    return forge


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_an_order_of_somebody_who_may_is_one_task_word_for_word(pipeline: Pipeline) -> None:
    order = "thanks!\n\n/squire do Say it in README.md:\n\n    pip install handbook\n"
    deliver(pipeline, comment(order))
    again = deliver(pipeline, comment(order), delivery_id="sent again")
    (task,) = made(pipeline)
    with pipeline.ledger.read() as tx:
        rule = tx.execute(select(delivery_table.c.filtered_by).where(delivery_table.c.id == again)).scalar_one()
    assert rule == "squire:repeated"
    assert task.spec.prompt == "Say it in README.md:\n\n    pip install handbook"
    assert (task.title, task.status) == ("Say it in README.md:", TaskStatus.READY)
    assert (task.base_branch, task.plan_id, task.repository) == ("HEAD", None, HANDBOOK)
    with pipeline.ledger.read() as tx:
        (event,) = tasks.events(tx, task.id)
    assert event.actor == f"github:{MAY}"
    assert event.reason == f"asked for in https://github.test/{HANDBOOK}/issues/1#issuecomment-77"
    assert task.spec.signals == ("open_issue:1",)


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_two_orders_of_one_comment_are_two_tasks(pipeline: Pipeline) -> None:
    deliver(pipeline, comment("/squire do First\n/squire do Second\n"))
    assert sorted(task.spec.prompt for task in made(pipeline)) == ["First", "Second"]


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_an_order_without_words_is_the_issue_as_it_stood(pipeline: Pipeline) -> None:
    deliver(pipeline, comment("/squire do", text="The text that was read."))
    (task,) = made(pipeline)
    assert (task.kind, task.title) == ("resolve_issue", "Resolve #1: No word on installing")
    assert "The text that was read." in task.spec.prompt


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
@pytest.mark.parametrize(
    "words",
    [
        {"login": MAY_NOT},
        {"login": MAY, "kind": "Bot"},
        {"login": "nobody-there"},
    ],
)
def test_nobody_else_orders_anything_and_the_audit_trail_has_it(pipeline: Pipeline, words: dict[str, Any]) -> None:
    row = deliver(pipeline, comment("/squire do Delete it", **words))
    deliver(pipeline, comment("/squire do Delete it", **words), delivery_id="sent again")
    assert made(pipeline) == []
    with pipeline.ledger.read() as tx:
        (entry,) = [entry for entry in audit_page(tx, limit=20) if entry.action == "command.refused"]
        closed = tx.execute(select(delivery_table.c.collected_at).where(delivery_table.c.id == row)).scalar_one()
    assert entry.actor == f"github:{words['login']}"
    assert "may not order work here" in str(entry.detail["reason"])
    assert closed is not None


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_what_is_no_order_makes_no_task(pipeline: Pipeline) -> None:
    bodies = [
        comment("> /squire do Delete it"),
        comment("Nothing for you"),
        comment("/squire do Delete it").replace(b'"created"', b'"edited"'),
        b'{"action": "created", "comment": {}, "issue": {}}',
        comment("/squire do Add a test", pull=True, number=1).replace(b"Add a test", b""),
    ]
    rows = [put(pipeline, body, delivery_id=f"d{place}") for place, body in enumerate(bodies)]
    pipeline.collect(HANDBOOK, deliveries=rows)
    assert made(pipeline) == []
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, rows) == ()


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_an_order_on_a_pull_request_goes_into_its_branch(pipeline: Pipeline) -> None:
    pull = read_pull_request(pipeline)
    body = comment("/squire do Add a test", repository=WEBSHOP, number=pull.number, pull=True)
    deliver(pipeline, body, repository=WEBSHOP)
    (task,) = made(pipeline)
    assert (task.base_branch, task.spec.prompt) == (pull.head_ref, "Add a test")


@pytest.mark.slow
def test_a_comment_whose_author_github_does_not_tell_of_is_read_again(
    pipeline: Pipeline, forge_people: ForgeProcess
) -> None:
    forge_people.add_fault("permission", status=502, times=1000)
    row = deliver(pipeline, comment("/squire do Say it"))
    assert made(pipeline) == []
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, [row]) == (row,)
    forge_people.clear_faults()
    pipeline.collect(HANDBOOK, deliveries=[row])
    assert len(made(pipeline)) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_a_retry_lets_the_newest_task_of_its_issue_run_again(pipeline: Pipeline) -> None:
    deliver(pipeline, comment("/squire retry"))
    number = issue_number(pipeline)
    deliver(pipeline, comment("/squire do Say it", comment_id=78, number=number), delivery_id="d2")
    (task,) = made(pipeline)
    assert refusals(pipeline) == ["there is no task of it"]
    with pipeline.ledger.write() as tx:
        tasks.cancel(tx, task.id, actor="cli:ann")
    deliver(pipeline, comment("/squire retry", comment_id=79, number=number), delivery_id="d3")
    assert pipeline.read_task(task.id).status is TaskStatus.READY


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_a_retry_goes_on_from_the_head_that_github_has_at_that_moment(pipeline: Pipeline) -> None:
    pull = read_pull_request(pipeline)
    task_id = add_task(pipeline.ledger, repository=WEBSHOP)
    with pipeline.ledger.write() as tx:
        tx.execute(update(task_table).where(task_table.c.id == task_id).values(branch=pull.head_ref))
        outcomes.record_opened(
            tx, task_id=task_id, repository=WEBSHOP, pr_number=pull.number, pr_url="https://x", head_sha="e" * 40
        )
        tx.execute(update(outcome_table).values(handed_over="somebody else has pushed"))
    body = comment("/squire retry", number=pull.number, repository=WEBSHOP, pull=True)
    deliver(pipeline, body, repository=WEBSHOP)
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    assert (outcome.handed_over, outcome.taken_up_head) == (None, pull.head_sha)


def issue_number_read(pipeline: Pipeline) -> int:
    pipeline.collect(HANDBOOK)
    return issue_number(pipeline)


@pytest.fixture
def proposed(pipeline: Pipeline, forge_people: ForgeProcess, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of the issue that waits for a person's word."""
    assert forge_people
    monkeypatch.setenv("SQUIRE_PLANNER__APPROVE", "manual")
    order = comment("/squire do Say it", number=issue_number_read(pipeline))
    deliver(pipeline, order, delivery_id="the order")
    (task,) = made(pipeline)
    return task


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("/squire approve", TaskStatus.READY),
        ("/squire approve {id} thanks", TaskStatus.READY),
        ("/squire reject not this way", TaskStatus.CANCELLED),
        ("/squire stop {id}", TaskStatus.CANCELLED),
    ],
)
def test_a_word_decides_about_a_task_that_waits(
    pipeline: Pipeline, proposed: Task, words: str, status: TaskStatus
) -> None:
    order = comment(words.format(id=proposed.id), comment_id=80, number=issue_number(pipeline))
    word_row = deliver(pipeline, order, delivery_id="the word")
    assert refusals(pipeline) == []
    assert pipeline.read_task(proposed.id).status is status
    with pipeline.ledger.read() as tx:
        assert tasks.events(tx, proposed.id)[-1].actor == f"github:{MAY}"
        effects = [(one.effect, one.detail) for one in effects_of(tx, [word_row]) if one.effect != "reaction"]
    name = words.split()[1]
    assert effects == [("command", f"/squire {name} by @{MAY}"), ("collected", None)]


@pytest.mark.slow
def test_a_word_that_cannot_count_changes_nothing_and_is_audited(pipeline: Pipeline, proposed: Task) -> None:
    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("/squire approve", {"created_at": "2000-01-01T00:00:00Z"}, "came after the comment"),
        ("/squire approve", {"created_at": None}, "came after the comment"),
        ("/squire approve", {"login": MAY_NOT}, "may not order work here"),
        ("/squire approve t1m8k4119aqn24e", {}, "there is no task"),
        ("/squire release", {}, "squire signals release"),
    )
    for place, (words, changes, reason) in enumerate(cases):
        word(pipeline, words, comment_id=80 + place, **changes)
        newest, *earlier = refusals(pipeline)
        assert (reason in newest, len(earlier)) == (True, place), (words, newest)
        assert pipeline.read_task(proposed.id).status is TaskStatus.PROPOSED


@pytest.mark.slow
def test_an_issue_on_hold_starts_nothing(pipeline: Pipeline, forge_people: ForgeProcess) -> None:
    assert forge_people
    number = issue_number_read(pipeline)
    deliver(pipeline, comment("/squire hold not now", number=number))
    assert refusals(pipeline) == []
    with pipeline.ledger.read() as tx:
        (signal,) = [s for s in collections.active_signals(tx, HANDBOOK) if s.ref == f"open_issue:{number}"]
    assert signal.verdict is not None
    assert not signal.verdict.may_start


def word(pipeline: Pipeline, words: str, *, comment_id: int = 80, **changes: Any) -> int:
    """Deliver a command on the issue that was read."""
    body = comment(words, comment_id=comment_id, number=issue_number(pipeline), **changes)
    return deliver(pipeline, body, delivery_id=f"word {comment_id}")


@pytest.mark.slow
@pytest.mark.usefixtures("proposed")
def test_a_task_that_is_named_with_marks_around_it_is_that_one(pipeline: Pipeline) -> None:
    for place in range(4):
        word(pipeline, f"/squire do Another one, {place}", comment_id=70 + place)
    waiting = {task.id for task in made(pipeline)}
    for place, mark in enumerate(("`{id}`", "**{id}**,", "{id}\t", "({upper})")):
        named = waiting.pop()
        words = f"/squire stop {mark.format(id=named, upper=named.upper())} not this one"
        word(pipeline, words, comment_id=80 + place)
        states = {task.id: task.status for task in made(pipeline)}
        assert states[named] is TaskStatus.CANCELLED, mark
        assert all(states[task_id] is TaskStatus.PROPOSED for task_id in waiting), mark
    assert len(waiting) == 1


@pytest.mark.slow
def test_an_id_that_was_cut_stops_no_other_task(pipeline: Pipeline, proposed: Task) -> None:
    word(pipeline, f"/squire stop {proposed.id[:8]}")
    assert pipeline.read_task(proposed.id).status is TaskStatus.PROPOSED
    assert "there is no task" in refusals(pipeline)[0]


@pytest.mark.slow
def test_a_word_that_is_read_again_does_not_undo_what_came_after_it(
    pipeline: Pipeline, proposed: Task, forge: ForgeProcess
) -> None:
    forge.add_fault("permission", status=502, times=1000)
    number = issue_number(pipeline)
    other = comment("/squire do Say more", login="somebody-new", comment_id=90, number=number)
    other_row = record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id="of another",
        event="issue_comment",
        action="created",
        repository=HANDBOOK,
        body=other,
    )
    stop = record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id="the stop",
        event="issue_comment",
        action="created",
        repository=HANDBOOK,
        body=comment("/squire stop", comment_id=80, number=number),
    )
    rows = sorted([stop.id, other_row.id])
    pipeline.collect(HANDBOOK, deliveries=rows)
    assert pipeline.read_task(proposed.id).status is TaskStatus.CANCELLED
    with pipeline.ledger.write() as tx:
        assert deliveries.still_open(tx, rows) == (other_row.id,)  # what stops work waits for nobody
        bulk.bulk_update(tx, (proposed.id,), bulk.retry(3), actor="github:ann", trace_id="0" * 32)
        deliveries.reopen(tx, rows, collects=True, applies=True)
    pipeline.collect(HANDBOOK, deliveries=rows)
    assert pipeline.read_task(proposed.id).status is TaskStatus.READY


@pytest.mark.slow
def test_a_comment_waits_behind_an_earlier_one_on_its_issue_that_is_not_judged(
    pipeline: Pipeline, proposed: Task, forge: ForgeProcess
) -> None:
    number = issue_number(pipeline)
    forge.add_fault("permission", status=502, times=1000)
    unjudged = word(pipeline, "/squire reject", login="somebody-new", comment_id=90)
    bodies = [
        comment("/squire reject", login="somebody-new", comment_id=91, number=number),
        comment("/squire approve", comment_id=92, number=number),
    ]
    rows = [
        record_delivery(
            pipeline.ledger,
            source="github",
            delivery_id=f"ordered {place}",
            event="issue_comment",
            action="created",
            repository=HANDBOOK,
            body=body,
        ).id
        for place, body in enumerate(bodies)
    ]
    pipeline.collect(HANDBOOK, deliveries=rows)
    assert pipeline.read_task(proposed.id).status is TaskStatus.PROPOSED
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, [unjudged, *rows]) == (unjudged, *rows)
    forge.clear_faults()
    pipeline.collect(HANDBOOK, deliveries=rows)
    assert pipeline.read_task(proposed.id).status is TaskStatus.READY


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_a_comment_that_cannot_be_obeyed_is_set_aside_and_keeps_no_other_from_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOKS__MAX_TRIES", "2")
    with pipeline.ledger.write() as tx:
        refusal = "WHEN NEW.title = 'Poison' BEGIN SELECT RAISE(ABORT, 'it cannot be held'); END"
        tx.execute(text(f"CREATE TRIGGER poison BEFORE INSERT ON tasks {refusal}"))
    row = deliver(pipeline, comment("/squire do Poison"))
    other = deliver(pipeline, comment("/squire do Say it", comment_id=78, number=2), delivery_id="other")
    assert [task.spec.prompt for task in made(pipeline)] == ["Say it"]
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, [row, other]) == (row,)
    pipeline.collect(HANDBOOK, deliveries=[row])
    with pipeline.ledger.read() as tx:
        stored = tx.execute(select(delivery_table).where(delivery_table.c.id == row)).one()
    assert (stored.set_aside_at is not None, stored.apply_tries) == (True, 2)
    assert "it cannot be held" in stored.error


@pytest.mark.slow
def test_a_word_that_comes_after_a_decision_at_a_terminal_is_too_late(pipeline: Pipeline, proposed: Task) -> None:
    with pipeline.ledger.write() as tx:
        bulk.bulk_update(tx, (proposed.id,), bulk.approve(), actor="cli:ann", trace_id="0" * 32)
    later = proposed.created_at + timedelta(microseconds=1)
    word(pipeline, "/squire stop", created_at=later.isoformat())
    assert pipeline.read_task(proposed.id).status is TaskStatus.READY
    assert "somebody who runs Squire decided about the task" in refusals(pipeline)[0]


@pytest.mark.slow
def test_a_hold_that_comes_after_a_release_is_too_late(pipeline: Pipeline, forge_people: ForgeProcess) -> None:
    assert forge_people
    number = issue_number_read(pipeline)
    with pipeline.ledger.write() as tx:
        stored = decisions.find(tx, f"open_issue:{number}", repository=HANDBOOK)
        decisions.decide(tx, stored, release=True, actor="cli:ann", reason="", trace_id="0" * 32)
    word(pipeline, "/squire hold", created_at="2000-01-01T00:00:00Z")
    with pipeline.ledger.read() as tx:
        stored = decisions.find(tx, f"open_issue:{number}", repository=HANDBOOK)
    assert stored.decision is not None
    assert stored.decision.release


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_an_order_on_a_pull_request_that_was_not_read_starts_nothing(pipeline: Pipeline) -> None:
    deliver(pipeline, comment("/squire do Add a test", pull=True, number=4711))
    assert made(pipeline) == []
    assert "#4711 is none of the open pull requests" in refusals(pipeline)[0]


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
def test_a_word_on_somebodys_pull_request_is_about_the_task_that_was_ordered_there(pipeline: Pipeline) -> None:
    pull = read_pull_request(pipeline)
    for comment_id, words in enumerate(("/squire do Add a test", "/squire stop"), start=80):
        body = comment(words, repository=WEBSHOP, number=pull.number, pull=True, comment_id=comment_id)
        deliver(pipeline, body, repository=WEBSHOP, delivery_id=words)
    (task,) = made(pipeline)
    assert task.status is TaskStatus.CANCELLED


@pytest.mark.slow
@pytest.mark.usefixtures("forge_people")
@pytest.mark.parametrize(
    "issue",
    [
        {"title": "", "body": None, "user": None, "labels": []},
        {"title": "x" * 5000, "body": "y" * 65_536},
        {"title": "\x00\ud800\u202e", "body": "\x00\ud800", "user": {"login": "\ud800"}},
    ],
)
def test_an_order_about_an_odd_issue_ends_in_a_task(pipeline: Pipeline, issue: dict[str, Any]) -> None:
    body = json.loads(comment("/squire do"))
    body["issue"] |= issue
    body["comment"]["html_url"] = ""
    deliver(pipeline, json.dumps(body).encode())
    assert len(made(pipeline)) == 1
