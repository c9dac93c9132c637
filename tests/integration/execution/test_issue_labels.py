"""Labels on an issue approve and reject what is proposed for it, and reactions show that a comment was obeyed."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select, update

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.authority import ActorKind, Approval, Author, Provenance
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.execution.issue_labels import obey_labels
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import deliveries, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import delivery_effects, task_events
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.settings.model import Settings
from tests.integration.execution.test_comment_commands import MAY, MAY_NOT, comment, deliver
from tests.support.deliveries import record_delivery
from tests.support.ledgers import NONE_APPROVED, REPOSITORY, START, TRACE, add_tasks, collect, issue, spec
from tests.support.pipeline import HANDBOOK, Pipeline


def proposed(pipeline: Pipeline, settings: str = "") -> tuple[str, int]:
    """The task that is proposed for the handbook's issue, a minute old, and the issue's number."""
    pipeline.configure(settings)
    file = pipeline.home / "config.toml"
    file.write_text(file.read_text().replace('kind = "rules"', 'kind = "rules"\napprove = "manual"'))
    pipeline.collect(HANDBOOK)
    pipeline.plan(HANDBOOK)
    with pipeline.ledger.write() as tx:
        rows = tx.execute(select(task_table.c.id).where(task_table.c.repository == HANDBOOK))
        (task_id,) = rows.scalars()
        # GitHub tells times to the second.
        row = update(task_table).where(task_table.c.id == task_id)
        tx.execute(row.values(created_at=tx.now - timedelta(minutes=1)))
        (ref,) = tasks.get(tx, task_id).spec.signals
    return task_id, int(ref.removeprefix("open_issue:"))


def status(pipeline: Pipeline, task_id: str) -> TaskStatus:
    with pipeline.ledger.read() as tx:
        return tasks.get(tx, task_id).status


def labelled(pipeline: Pipeline, number: int, label: str) -> int:
    """Put the delivery of a label into the inbox; return its row."""
    body = {"action": "labeled", "repository": {"full_name": HANDBOOK}, "issue": {"number": number}}
    return record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id=f"{label} on {number}",
        event="issues",
        action="labeled",
        repository=HANDBOOK,
        body=json.dumps(body | {"label": {"name": label}}).encode(),
    ).id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "after"), [("squire:approve", TaskStatus.READY), ("Squire:Reject", TaskStatus.CANCELLED)]
)
def test_a_label_by_somebody_who_may_decides_about_a_proposed_task(
    pipeline: Pipeline, forge: ForgeProcess, label: str, after: TaskStatus
) -> None:
    task_id, number = proposed(pipeline)
    forge.act_as(HANDBOOK, MAY, permission="write", number=number, add_label=label)
    row = labelled(pipeline, number, label)
    pipeline.collect(HANDBOOK, deliveries=[row])
    assert status(pipeline, task_id) is after
    with pipeline.ledger.read() as tx:
        effects = [(one.effect, one.subject, one.detail) for one in effects_of(tx, [row])]
        verb = "approves" if after is TaskStatus.READY else "rejects"
        detail = f"{label} by @{MAY} {verb} {task_id}"
        assert effects == [("label", f"{HANDBOOK}#{number}", detail), ("collected", HANDBOOK, None)]
        event = tasks.events(tx, task_id)[-1]
        actions = [row.action for row in audit_page(tx, limit=20, subject=task_id) if row.actor == event.actor]
    assert event.actor == f"github:{MAY}"
    assert event.reason.endswith(f"by the label {label} on #{number}")
    assert actions[0] in {"tasks.approve", "tasks.reject"}
    pipeline.collect(HANDBOOK)
    assert status(pipeline, task_id) is after


@pytest.mark.slow
def test_a_label_of_somebody_who_may_not_and_one_from_before_the_task_decide_nothing(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id, number = proposed(pipeline)
    forge.act_as(HANDBOOK, MAY_NOT, permission="triage", number=number, add_label="squire:approve")
    pipeline.collect(HANDBOOK)
    pipeline.collect(HANDBOOK)
    assert status(pipeline, task_id) is TaskStatus.PROPOSED
    with pipeline.ledger.read() as tx:
        (refusal,) = audit_page(tx, limit=20, action="label.refused")
    assert (refusal.actor, refusal.detail["label"]) == (f"github:{MAY_NOT}", "squire:approve")
    forge.act_as(HANDBOOK, MAY_NOT, number=number, remove_label="squire:approve")
    forge.act_as(HANDBOOK, MAY, permission="write", number=number, add_label="squire:approve")
    with pipeline.ledger.write() as tx:
        row = update(task_table).where(task_table.c.id == task_id)
        tx.execute(row.values(created_at=tx.now + timedelta(minutes=1)))
    pipeline.collect(HANDBOOK)
    assert status(pipeline, task_id) is TaskStatus.PROPOSED


@pytest.mark.slow
def test_of_both_labels_the_last_one_counts_and_their_names_are_settings(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    names = '[trust]\napprove_label = "go"\nreject_label = "no"\n'
    task_id, number = proposed(pipeline, names)
    forge.act_as(HANDBOOK, MAY, permission="write", number=number, add_label="squire:approve")
    pipeline.collect(HANDBOOK)
    assert status(pipeline, task_id) is TaskStatus.PROPOSED
    forge.act_as(HANDBOOK, MAY, number=number, add_label="no")
    forge.act_as(HANDBOOK, MAY, number=number, add_label="go")
    pipeline.collect(HANDBOOK)
    assert status(pipeline, task_id) in {
        TaskStatus.READY,
        TaskStatus.CANCELLED,
    }  # both within one second: the no counts


def test_a_label_that_cannot_be_judged_leaves_the_others_alone(ledger: Ledger) -> None:
    persons = [Author(login=login, kind=ActorKind.PERSON) for login in ("odd", "mara")]
    approvals = [Approval(label="squire:approve", by=by, at=START + timedelta(days=1)) for by in persons]
    facts = [
        issue(number).model_copy(update={"provenance": Provenance(approvals=(approval,))})
        for number, approval in enumerate(approvals, start=1)
    ]
    collect(ledger, *facts)
    drafts = [spec(fact.key, signals=(fact.ref,)) for fact in facts]
    odd, good = add_tasks(ledger, *drafts, approval=NONE_APPROVED)

    def github(request: httpx.Request) -> httpx.Response:
        if "odd" in request.url.path:
            raise RuntimeError("a fault of ours with this login")
        return httpx.Response(200, json={"permission": "write", "role_name": "write"})

    settings = Settings(repositories=(REPOSITORY,))

    async def obey() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(github))
        async with GitHubClient(settings.github, "token", http=http) as client:
            await obey_labels(client, ledger, lambda _: settings, [REPOSITORY], trace_id=TRACE)

    asyncio.run(obey())
    with ledger.read() as tx:
        assert [tasks.get(tx, one).status for one in (odd, good)] == [TaskStatus.PROPOSED, TaskStatus.READY]


def _reactions(forge: ForgeProcess, comment_id: int) -> list[str]:
    answer = httpx.get(
        f"{forge.api_url}/repos/{HANDBOOK}/issues/comments/{comment_id}/reactions",
        headers={"authorization": f"Bearer {forge.token}"},
    )
    return [reaction["content"] for reaction in answer.json()]


def _commented(forge: ForgeProcess, number: int, text: str) -> int:
    """Write a comment at the forge; return its id."""
    answer = httpx.post(
        f"{forge.api_url}/repos/{HANDBOOK}/issues/{number}/comments",
        json={"body": text},
        headers={"authorization": f"Bearer {forge.token}"},
    )
    return int(answer.json()["id"])


@pytest.mark.slow
def test_a_reaction_shows_that_a_command_was_read(pipeline: Pipeline, forge: ForgeProcess) -> None:
    forge.act_as(HANDBOOK, MAY, permission="write")
    _, number = proposed(pipeline)
    cases: tuple[tuple[str, str, list[str]], ...] = (
        ("thanks!", MAY, []),
        ("/squire do Say it", MAY_NOT, []),
        ("/squire approve t0m1e2x3a4m5p6l", MAY, ["-1"]),
        ("/squire approve", MAY, ["+1"]),
        ("/squire do Say it", MAY, ["eyes"]),
    )
    all_rows: list[int] = []
    for place, (text, login, expected) in enumerate(cases):
        comment_id = _commented(forge, number, text)
        body = comment(text, login=login, number=number, comment_id=comment_id)
        rows = [deliver(pipeline, body, delivery_id=f"{order} of {place}") for order in ("first", "again")]
        assert _reactions(forge, comment_id) == expected, text
        with pipeline.ledger.read() as tx:
            shown = [one.detail for one in effects_of(tx, rows) if one.effect == "reaction"]
        assert shown == expected, text  # the same body under another id is a repetition
        all_rows += rows
    before = _happened(pipeline)
    with pipeline.ledger.write() as tx:
        deliveries.reopen(tx, all_rows, collects=True, applies=True)
    pipeline.collect(HANDBOOK, deliveries=all_rows)
    assert _happened(pipeline) == before


def _happened(pipeline: Pipeline) -> list[object]:
    """What happened to tasks, what deliveries did, and which commands were refused."""
    with pipeline.ledger.read() as tx:
        rows = [tuple(row) for table in (task_events, delivery_effects) for row in tx.execute(select(table))]
        return [*rows, *(row.id for row in audit_page(tx, limit=100) if row.action.startswith("command."))]


@pytest.mark.slow
def test_reactions_can_be_left_out_and_a_comment_that_is_gone_costs_no_task(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    forge.act_as(HANDBOOK, MAY, permission="write")
    _, number = proposed(pipeline, "[publishing]\nreactions = false\n")
    comment_id = _commented(forge, number, "/squire do A")
    deliver(pipeline, comment("/squire do A", number=number, comment_id=comment_id))
    assert _reactions(forge, comment_id) == []
    pipeline.configure()
    deliver(pipeline, comment("/squire do B", number=number, comment_id=987_654), delivery_id="gone")
    with pipeline.ledger.read() as tx:
        prompts = [spec["prompt"] for spec in tx.execute(select(task_table.c.spec)).scalars()]
    assert {"A", "B"} <= set(prompts)
