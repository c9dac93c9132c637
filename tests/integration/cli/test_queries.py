import re
from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.plan_making import PlanStep, PlanUse, RefusedAnswer, StepKind
from squire_pipelines.domain.plans import PlanFinding, leave_out, omit
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.domain.tasks import EstimatedSize, LeftOutReason, Plan
from squire_pipelines.ledger import collections, deliveries, plans, repositories
from tests.support.cli import REPOSITORY, TRACE, SampleData, Squire, spec
from tests.support.deliveries import record_delivery

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_signals_are_listed_by_kind_and_repository(squire: Squire, samples: SampleData) -> None:
    samples.reading(title="It is \x1b[31mbroken")
    (row,) = squire.json("signals", "list")
    assert (row["kind"], row["key"], row["gone_at"]) == ("open_issue", "7", None)
    assert row["details"]["author"] == "ann"
    assert squire.json("signals", "list", "--kind", "failed_ci") == []
    assert len(squire.json("signals", "list", "--kind", "open_issue", "--repository", "ACME/shop", "--gone")) == 1
    shown = squire.ok("signals", "list")
    assert "It is broken" in shown
    assert re.search(
        rf"^{row['id']} +acme/shop +open_issue", shown, re.MULTILINE
    )  # so that `signals show ID` is at hand
    assert squire.ok("signals", "list", "--repository", "acme/none") == "There are no signals.\n"


def test_signals_are_listed_by_author_by_what_is_held_and_by_when_they_came(
    squire: Squire, samples: SampleData
) -> None:
    samples.reading()
    assert len(squire.json("signals", "list", "--author", "ANN")) == 1
    assert squire.json("signals", "list", "--author", "an") == []
    assert squire.json("signals", "list", "--held") == []
    assert len(squire.json("signals", "list", "--since", "1h")) == 1
    assert squire.json("signals", "list", "--since", "2999-01-01") == []
    squire.ok("signals", "hold", "open_issue:7")
    (row,) = squire.json("signals", "list", "--held")
    assert row["verdict"]["may_start"] is False
    assert "held" in squire.ok("signals", "list", "--held", "--since", "1h")


def test_collections_tell_which_repository_is_not_what_its_name_says(squire: Squire, samples: SampleData) -> None:
    renamed = KnownRepository(REPOSITORY, 1, "new/name", RepositoryState.RENAMED, f"{REPOSITORY} is now new/name")
    reading = Collection(
        repository=REPOSITORY, source=Source.OPEN_PRS, status=CollectionStatus.FRESH, started_at=AT, ended_at=AT
    )
    with samples.ledger.write() as tx:
        collections.record(tx, reading, trace_id=TRACE, run_id=None)
    (row,) = squire.json("signals", "collections")
    assert (row["repository_state"], row["repository_message"]) == (None, None)
    with samples.ledger.write() as tx:
        repositories.record(tx, [renamed])
    (row,) = squire.json("signals", "collections")
    assert (row["repository_state"], row["repository_message"]) == ("renamed", f"{REPOSITORY} is now new/name")
    assert squire.ok("signals", "collections").count("is now new/name") == 1


def test_collections_show_a_source_that_failed(squire: Squire, samples: SampleData) -> None:
    assert "No source was read yet" in squire.ok("signals", "collections")
    samples.reading()
    samples.reading(error="GitHub said 502")
    samples.reading(Source.OPEN_PRS, error="no permission")
    rows = {row["source"]: row for row in squire.json("signals", "collections")}
    assert {source: row["status"] for source, row in rows.items()} == {"open_issues": "stale", "open_prs": "failed"}
    assert rows["open_issues"]["signals"] == 1
    assert "GitHub said 502" in squire.ok("signals", "collections", "--repository", REPOSITORY)


def test_a_plan_shows_what_it_leaves_out_and_why(squire: Squire, samples: SampleData) -> None:
    large = spec("Rewrite \x1b[31mall", key="large")
    plan = leave_out(
        Plan(repository=REPOSITORY, planner="llm:m", signals_digest="0", tasks=(large,)),
        [omit(large, LeftOutReason.TOO_LARGE, "it is estimated at 9 files, 10 lines; the limit is 5 files, 500 lines")],
    )
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    shown = squire.ok("plans", "show", saved.id)
    assert "left out: large (Rewrite" in shown
    assert "9 files, 10 lines; the limit is 5 files, 500 lines" in shown.replace("\n", " ")
    assert "\x1b" not in shown
    (omission,) = squire.json("plans", "show", saved.id)["left_out"]
    assert (omission["key"], omission["reason"]) == ("large", "too_large")


def test_plans_are_listed_and_shown_with_their_tasks(squire: Squire, samples: SampleData) -> None:
    assert "There are no plans yet" in squire.ok("plans", "list")
    plan_id, ids = samples.plan(spec("First", key="a"), spec("Second", key="b", depends_on=("a",)))
    (row,) = squire.json("plans", "list", "--repository", REPOSITORY)
    assert (row["id"], row["tasks_proposed"], row["tasks_created"]) == (plan_id, 2, len(ids))
    assert plan_id in squire.ok("plans", "list")
    shown = squire.ok("plans", "show", plan_id)
    assert "Second" in shown
    assert "note: a note" in shown
    assert [task["key"] for task in squire.json("plans", "show", plan_id)["tasks"]] == ["a", "b"]


def test_a_protected_path_that_a_task_is_to_change_is_shown_and_holds_it(squire: Squire, samples: SampleData) -> None:
    paths: dict[str, Any] = {"protected_paths": ("uv.lock", "AGENTS.md")}
    plan_id, (flagged, permitted) = samples.plan(
        spec("Held", key="a", **paths), spec("Free", key="b", allow_protected=("**/uv.lock", "AGENTS.md"), **paths)
    )
    shown = squire.ok("plans", "show", plan_id)
    assert "a: changes protected uv.lock, AGENTS.md, which it may not: it waits for approval" in shown
    assert "b: changes protected uv.lock, AGENTS.md, which it asks for" in shown
    assert "uv.lock, AGENTS.md" in squire.ok("tasks", "show", flagged)
    assert [squire.json("tasks", "show", task)["status"] for task in (flagged, permitted)] == ["proposed", "ready"]


def test_what_a_plan_judged_by_is_shown(squire: Squire, samples: SampleData) -> None:
    size = EstimatedSize(files=1, lines=40)
    factors = ("0.6: no test shows the failure",)
    plan_id, (task_id,) = samples.plan(spec(size=size, confidence_factors=factors, evidence=("open_issue:7",)))
    for shown in (squire.ok("plans", "show", plan_id), squire.ok("tasks", "show", task_id)):
        for part in ("1 file, 40 lines", "0.6: no test shows the failure", "open_issue:7"):
            assert part in " ".join(shown.split())
    (task,) = squire.json("plans", "show", plan_id)["tasks"]
    assert (task["size"], task["evidence"]) == ({"files": 1, "lines": 40}, ["open_issue:7"])


def test_a_plan_with_findings_says_what_is_wrong(squire: Squire, samples: SampleData) -> None:
    plan = Plan(repository=REPOSITORY, planner="rules", signals_digest="d")
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan, [PlanFinding("size", None, "too many")], trace_id=TRACE, run_id=None)
    shown = squire.ok("plans", "show", saved.id)
    assert "finding: size: too many" in shown
    assert "not admitted" in shown
    assert "It proposes no tasks." in shown
    assert "there is no plan 'pnone'" in squire.fails(1, "plans", "show", "pnone")


def test_a_plan_tells_which_model_made_it_and_by_which_prompt(squire: Squire, samples: SampleData) -> None:
    plan = Plan(repository=REPOSITORY, planner="llm:m", signals_digest="d", model="m", prompt_version="planner-1")
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    assert "model m, prompt planner-1" in squire.ok("plans", "show", saved.id)
    whole = squire.json("plans", "show", saved.id)
    assert (whole["model"], whole["prompt_version"]) == ("m", "planner-1")


def test_a_provisional_plan_tells_how_it_came_about(squire: Squire, samples: SampleData) -> None:
    step = PlanStep(kind=StepKind.ASK, taken=False, reason="no answer within 5 s", provider="local", number=1)
    use = PlanUse(asks=1, input_tokens=20, output_tokens=3, cost_usd=0.25, latency_s=5)
    plan = Plan(repository=REPOSITORY, planner="rules", signals_digest="d", steps=(step,))
    plan = plan.model_copy(update={"provisional": True, "model_failed": True, "use": use})
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    shown = squire.ok("plans", "show", saved.id)
    assert "used: 1 requests answered, 20 tokens in, 3 out, 0.2500 USD, 5.0 s" in shown
    assert "provisional: the model did not come to answer, asked again from " in shown
    assert "step: asked local (1): not taken: no answer within 5 s" in shown
    whole = squire.json("plans", "show", saved.id)
    assert (whole["provisional"], whole["model_failures"], whole["use"]["asks"]) == (True, 1, 1)
    assert whole["steps"][0]["reason"] == "no answer within 5 s"
    assert [row["provisional"] for row in squire.json("plans", "list")] == [True]


def test_answers_that_became_no_plan_are_shown_when_asked_for(squire: Squire, samples: SampleData) -> None:
    answer = RefusedAnswer(
        provider="local", model="m", number=1, reason="it is no JSON", text="Sorry,\n\x1b[2Jno plan.", chars=40_000
    )
    plan = Plan(repository=REPOSITORY, planner="rules", signals_digest="d")
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan.model_copy(update={"refused": (answer,)}), (), trace_id=TRACE, run_id=None)
    assert "Sorry" not in squire.ok("plans", "show", saved.id)
    shown = squire.ok("plans", "show", saved.id, "--answers")
    for part in (
        "answer 1 of m at the provider local",
        "not taken: it is no JSON",
        "Sorry,\nno plan.",
        "40,000 characters",
    ):
        assert part in shown
    assert "\x1b" not in shown
    (kept,) = squire.json("plans", "show", saved.id, "--answers")["answers"]
    assert (kept["reason"], kept["chars"]) == ("it is no JSON", 40_000)
    assert "answers" not in squire.json("plans", "show", saved.id)


def test_webhooks_are_listed_without_their_bodies(squire: Squire, samples: SampleData) -> None:
    assert squire.ok("webhooks", "list") == "There are no deliveries.\n"
    record_delivery(
        samples.ledger,
        source="github",
        delivery_id="abc",
        event="issues",
        action="opened",
        repository=REPOSITORY,
        body=b'{"hidden": "text"}',
    )
    record_delivery(
        samples.ledger,
        source="github",
        delivery_id="def",
        event="star",
        action=None,
        repository=REPOSITORY,
        body=b"{}",
        relevant=False,
    )
    assert [row["event"] for row in squire.json("webhooks", "list")] == ["star", "issues"]
    (pending,) = squire.json("webhooks", "list", "--pending", "--repository", REPOSITORY)
    assert pending["action"] == "opened"
    shown = squire.ok("webhooks", "list")
    assert "issues.opened" in shown
    assert "hidden" not in shown


def test_every_list_goes_on_after_its_last_row(squire: Squire, samples: SampleData) -> None:
    for number in range(3):
        samples.task(f"Task {number}")  # each of a plan of its own
    with samples.ledger.write() as tx:
        deliveries.request_collection(tx, [REPOSITORY] * 3, source="cli", trace_id="0" * 32)
    samples.reading()
    for words, count in (("plans",), 3), (("webhooks",), 3), (("signals",), 1):
        every = [row["id"] for row in squire.json(*words, "list")]
        assert len(every) == count
        listed: list[object] = []
        after: tuple[str, ...] = ()
        while page := squire.json(*words, "list", "--limit", "1", *after):
            listed.append(page[0]["id"])
            after = ("--after", str(page[0]["id"]))
        assert listed == every
        assert "no row" in squire.fails(1, *words, "list", "--after", "99999")
    assert "next page: squire plans list --limit 1 --after p" in squire("plans", "list", "--limit", "1").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "list", "--before", "99999999999999999999"),
        ("signals", "list", "--after", "99999999999999999999"),
        ("webhooks", "list", "--after", "-1"),
        ("history", "sql", "select 1", "--timeout", "nan"),
    ],
)
def test_a_number_that_there_cannot_be_is_a_wrong_use(squire: Squire, words: tuple[str, ...]) -> None:
    assert words[-1] in squire.fails(2, *words)


def test_a_plan_over_several_repositories_is_listed_by_its_group_and_shows_where_each_task_is(
    squire: Squire, samples: SampleData
) -> None:
    specs = (spec("Offer", key="offer"), spec("Use", key="use", depends_on=("offer",)))
    placed = [one.model_copy(update={"repository": name}) for one, name in zip(specs, ("o/api", "o/web"), strict=True)]
    plan = Plan(repository="group:checkout", planner="llm:m", signals_digest="", tasks=tuple(placed))
    with samples.ledger.write() as tx:
        saved = plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    assert "group:checkout" in squire.ok("plans", "list")
    shown = squire.ok("plans", "show", saved.id)
    assert re.search(r"use +o/web +Use", shown)
    assert [task["repository"] for task in squire.json("plans", "show", saved.id)["tasks"]] == ["o/api", "o/web"]
