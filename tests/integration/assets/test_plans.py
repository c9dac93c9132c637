from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import dagster as dg
import pytest
from dagster import AssetCheckEvaluation
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.assets.task_reports import TASKS
from squire_pipelines.domain.plan_making import PlanUse
from squire_pipelines.domain.signals import OpenIssue, ReviewFinding, Signal, SignalKind
from squire_pipelines.domain.tasks import Plan, TaskSpec, TaskStatus
from squire_pipelines.execution import planning
from squire_pipelines.ledger import collections, decisions, plans, tasks
from squire_pipelines.ledger.failed_plans import failed_plans
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.ledger.tables import plans as plan_table
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.sensors.planning import plan_follows_signals
from tests.support.ledgers import add_old_request, collect, issue, list_tasks, spec
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import ALL, HANDBOOK, LEDGERLIB, QUIET, TRACE, WEBSHOP, Pipeline, checks, materialized
from tests.support.pusher import FilePusher
from tests.support.signal_samples import manual
from tests.support.task_drafts import task_draft

LABELLED = OpenIssue(number=1, author="ann", labels=("squire",))


def made(done: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, Any]:
    """The metadata of an asset's materializations by repository."""
    return {name: metadata for (key, name), metadata in materialized(done).items() if key == asset}


def verdicts(done: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], AssetCheckEvaluation]:
    """The evaluations of the plan's checks by check and repository."""
    return {(check, name): verdict for (_, check, name), verdict in checks(done).items()}


def all_tasks(pipeline: Pipeline) -> list[tuple[str, str]]:
    with pipeline.ledger.read() as tx:
        return sorted((task.repository, task.id) for task in list_tasks(tx))


def count_plans(pipeline: Pipeline, repository: str) -> int:
    with pipeline.ledger.read() as tx:
        return len(tx.execute(select(plan_table.c.id).where(plan_table.c.repository == repository)).all())


def plan_from_elsewhere(*specs: TaskSpec, **fields: Any) -> Callable[..., Coroutine[Any, Any, Plan]]:
    """A planner that makes this plan, whatever it is asked. No planner of ours makes a wrong one."""

    async def make(_settings: object, repository: str, signals: Sequence[Signal], **_: object) -> Plan:
        digest = signals_digest(signals)
        return Plan(repository=repository, planner="elsewhere", signals_digest=digest, tasks=specs, **fields)

    return make


TOO_MUCH = PlanUse(input_tokens=2_000, output_tokens=1)
WRONG_PLANS = {
    "schema": (plan_from_elsewhere(spec("a"), spec("a", title="Again | and [again](x)")), "two tasks have the key 'a'"),
    "rules": (plan_from_elsewhere(spec("a", signals=("open_issue:9",))), "which was not seen"),
    "budget": (plan_from_elsewhere(spec("a"), use=TOO_MUCH), "2001 tokens for it, and may use 2000 tokens"),
    "duplicates": (
        plan_from_elsewhere(spec("a", title="Write a tutorial"), spec("b", title="Write the tutorial")),
        "it says nearly the same as the task a",
    ),
}


@pytest.mark.slow
def test_signals_become_tasks_once(pipeline: Pipeline) -> None:
    pipeline.collect()
    done = pipeline.plan()
    assert all(verdict.passed for verdict in verdicts(done).values())
    assert {name for check, name in verdicts(done) if check == "planned"} == set(ALL)
    assert set(made(done, "task_plan")) == set(ALL)
    admitted = made(done, "tasks")
    assert {name: admitted[name]["created"].value for name in ALL} == {LEDGERLIB: 1, WEBSHOP: 1, HANDBOOK: 1, QUIET: 0}
    assert admitted[LEDGERLIB]["ready"].value == 1
    assert admitted[LEDGERLIB]["trace_id"].value == TRACE
    for (_, name), verdict in verdicts(done).items():
        assert str(verdict.metadata["board"].value).endswith(f"/plans?{urlencode({'repository': name})}")
        assert verdict.metadata["github"].value == f"{pipeline.settings.github.web_url}/{name}"
    before = all_tasks(pipeline)
    assert [repository for repository, _ in before] == [HANDBOOK, LEDGERLIB, WEBSHOP]
    pipeline.plan(again=True)
    assert all_tasks(pipeline) == before


@pytest.mark.slow
def test_unchanged_signals_are_not_planned_again(pipeline: Pipeline) -> None:
    pipeline.collect(HANDBOOK)
    pipeline.plan(HANDBOOK)
    pipeline.collect(HANDBOOK)
    with pipeline.ledger.read() as tx:
        assert list(collections.unplanned(tx)) == [HANDBOOK]
    done = pipeline.plan(HANDBOOK)
    assert made(done, "task_plan") == {}
    assert count_plans(pipeline, HANDBOOK) == 1
    with pipeline.ledger.read() as tx:
        assert collections.unplanned(tx) == {}


@pytest.mark.slow
@pytest.mark.parametrize("check", WRONG_PLANS)
def test_a_plan_that_fails_a_check_becomes_no_task(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    make, problem = WRONG_PLANS[check]
    monkeypatch.setattr(planning, "make_plan", make)
    pipeline.configure("[budgets.plan]\ntokens = 2000\n")
    pipeline.collect(QUIET)
    done = pipeline.plan(QUIET)
    seen = verdicts(done)
    assert {name for (name, _), verdict in seen.items() if not verdict.passed} == {check}
    failed = seen[check, QUIET]
    assert failed.blocking
    assert failed.severity is dg.AssetCheckSeverity.ERROR
    assert problem in (failed.description or "")
    assert made(done, "tasks") == {}
    assert "a" in str(made(done, "task_plan")[QUIET]["preview"].records)
    assert str(made(done, "task_plan")[QUIET]["github"].value).endswith(f"/{QUIET}")
    assert all_tasks(pipeline) == []
    with pipeline.ledger.read() as tx:
        saved = plans.latest(tx, QUIET)
    assert saved is not None
    assert saved.findings
    assert saved.admitted_at is None


@pytest.mark.slow
def test_a_task_that_the_planner_is_not_sure_of_is_warned_of_and_waits_for_a_person(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure = spec("a", confidence=0.4, confidence_factors=("the log is cut",))
    monkeypatch.setattr(planning, "make_plan", plan_from_elsewhere(unsure))
    pipeline.collect(QUIET)
    done = pipeline.plan(QUIET)
    seen = verdicts(done)
    assert [name for (name, _), verdict in seen.items() if not verdict.passed] == ["confidence"]
    warned = seen["confidence", QUIET]
    assert (warned.blocking, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warned.description == "0.40 is less than 0.60: the log is cut"
    assert made(done, "tasks")[QUIET]["proposed"].value == 1


@pytest.mark.slow
def test_a_repository_that_cannot_be_asked_about_keeps_the_others_from_nothing(pipeline: Pipeline) -> None:
    collect(pipeline.ledger, issue(repository="demo/none"), repository="demo/none")
    pipeline.collect(HANDBOOK)
    done = pipeline.plan(HANDBOOK, "demo/none")
    seen = verdicts(done)
    assert seen["planned", HANDBOOK].passed
    assert not seen["planned", "demo/none"].passed
    assert "there is no repository demo/none" in (seen["planned", "demo/none"].description or "")
    assert ("rules", "demo/none") not in seen  # there is no plan that could be judged
    assert [repository for repository, _ in all_tasks(pipeline)] == [HANDBOOK]
    with pipeline.ledger.read() as tx:
        assert collections.unplanned(tx) == {}  # the next reading asks again, not a loop


def test_github_that_is_down_fails_the_check_and_the_next_reading_is_planned(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    done = quiet_pipeline.plan(QUIET)
    assert not verdicts(done)["planned", QUIET].passed
    with quiet_pipeline.ledger.read() as tx:
        saved = plans.latest(tx, QUIET)
        (failure,) = failed_plans(tx, [QUIET], stopped=())
    assert saved is not None
    assert (saved.plan.tasks, [finding.check for finding in saved.findings]) == ((), ["planned"])
    assert (failure.count, failure.plan_id) == (1, saved.id)
    assert failure.reason in (verdicts(done)["planned", QUIET].description or "")
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    with quiet_pipeline.ledger.read() as tx:
        assert list(collections.unplanned(tx)) == [QUIET]


def test_a_plan_that_a_crash_kept_from_becoming_tasks_is_admitted_by_the_next_run(quiet_pipeline: Pipeline) -> None:
    signal = issue(repository=QUIET)
    collect(quiet_pipeline.ledger, signal, repository=QUIET)
    plan = Plan(repository=QUIET, planner="rules", signals_digest=signals_digest([signal]), tasks=(spec("a"),))
    with quiet_pipeline.ledger.write() as tx:
        plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    done = quiet_pipeline.plan(QUIET)
    assert made(done, "tasks")[QUIET]["created"].value == 1
    assert str(made(done, "tasks")[QUIET]["github"].value).endswith(f"/{QUIET}")
    assert count_plans(quiet_pipeline, QUIET) == 1
    assert quiet_pipeline.plan(QUIET).success
    assert len(all_tasks(quiet_pipeline)) == 1


@pytest.mark.slow
def test_tasks_wait_for_a_person_where_the_settings_say_so(pipeline: Pipeline) -> None:
    pipeline.configure("[collection]\nmax_items = 50\n")
    text = (pipeline.home / "config.toml").read_text(encoding="utf-8")
    (pipeline.home / "config.toml").write_text(text.replace('kind = "rules"', 'kind = "rules"\napprove = "manual"'))
    pipeline.collect(HANDBOOK)
    done = pipeline.plan(HANDBOOK)
    assert made(done, "tasks")[HANDBOOK]["proposed"].value == 1
    ((_, task_id),) = all_tasks(pipeline)
    assert pipeline.read_task(task_id).status is TaskStatus.PROPOSED


def test_tasks_alone_can_be_materialized_from_a_plan_that_is_there(quiet_pipeline: Pipeline) -> None:
    plan = Plan(repository=QUIET, planner="rules", signals_digest="0" * 64, tasks=(spec("a"),))
    with quiet_pipeline.ledger.write() as tx:
        plans.save(tx, plan, (), trace_id=TRACE, run_id=None)
    quiet_pipeline.instance.add_dynamic_partitions("repositories", [QUIET])
    done = quiet_pipeline.run("plan", partition_key=QUIET, asset_selection=[TASKS])
    assert made(done, "tasks")[QUIET]["created"].value == 1
    assert made(done, "task_plan") == {}


@pytest.mark.slow
def test_a_model_that_fails_is_in_the_books_and_the_rules_plan(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    with ModelServer([Turn(status=400, text="no such model")]) as server:
        text = (pipeline.home / "config.toml").read_text(encoding="utf-8")
        llm = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{server.url}"\nmax_retries = 0'
        (pipeline.home / "config.toml").write_text(text.replace('kind = "rules"', llm), encoding="utf-8")
        pipeline.collect(WEBSHOP)
        done = pipeline.plan(WEBSHOP)
    metadata = made(done, "task_plan")[WEBSHOP]
    assert metadata["planner"].value == "rules"
    (note, *_) = metadata["notes"].records
    assert "planned by rules, since the model failed" in note.data["note"]
    assert made(done, "tasks")[WEBSHOP]["created"].value == 1
    with pipeline.ledger.read() as tx:
        calls = tx.execute(select(model_calls)).all()
    assert calls
    assert {(call.purpose, call.ok, call.repository, call.trace_id) for call in calls} == {
        ("plan", False, WEBSHOP, TRACE)
    }


def _ask_model(pipeline: Pipeline, url: str, more: str = "") -> None:
    pipeline.configure()
    file = pipeline.home / "config.toml"
    llm = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{url}"\nretry_base_s = 0.000001\n{more}'
    file.write_text(file.read_text(encoding="utf-8").replace('kind = "rules"', llm), encoding="utf-8")


def _answer(key: str, *signals: str, base: str = "main") -> Turn:
    task = task_draft(key=key, title=key, base_branch=base, signals=list(signals), evidence=list(signals))
    return Turn(calls=(Call("final_result", {"tasks": [task]}),), prompt_tokens=1000, completion_tokens=50)


@pytest.mark.slow
def test_a_model_that_is_down_for_one_cycle_is_used_in_the_next(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    pipeline.collect(WEBSHOP)
    with pipeline.ledger.read() as tx:
        signals = collections.active_signals(tx, WEBSHOP)
    may_start = (one for one in signals if one.verdict is not None and one.verdict.may_start)
    remarks = {one.ref: one.details for one in may_start if isinstance(one.details, ReviewFinding)}
    (branch,) = {remark.head_ref for remark in remarks.values()}
    down = Turn(status=503, headers={"x-should-retry": "false"})
    with ModelServer([down, _answer("better", *remarks, base=branch)]) as server:
        _ask_model(pipeline, server.url)
        first = pipeline.plan(WEBSHOP)
        due = pipeline.sensor(plan_follows_signals).run_requests
        second = pipeline.plan(WEBSHOP)
        assert len(server.main_requests) == 2
    warned = verdicts(first)["planned", WEBSHOP]
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "provisional: planned by rules, since the model failed (model_unavailable)" in (warned.description or "")
    assert made(first, "task_plan")[WEBSHOP]["provisional"].value is True
    assert made(first, "tasks")[WEBSHOP]["created"].value == 1
    assert [request.run_config["ops"]["plan_tasks"]["config"] for request in due] == [{"repositories": [WEBSHOP]}]
    assert verdicts(second)["planned", WEBSHOP].passed
    metadata = made(second, "task_plan")[WEBSHOP]
    shown = {name: metadata[name].value for name in ("planner", "model", "asks", "input_tokens", "output_tokens")}
    assert shown == {
        "planner": "llm:scripted",
        "model": "scripted",
        "asks": 1,
        "input_tokens": 1000,
        "output_tokens": 50,
    }
    with pipeline.ledger.read() as tx:
        statuses = {task.title: task.status for task in list_tasks(tx)}
    assert statuses.pop("better") is TaskStatus.READY
    assert set(statuses.values()) == {TaskStatus.CANCELLED}


@pytest.mark.slow
def test_edited_goals_change_the_next_plan_though_no_signal_has_changed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    pipeline.collect(QUIET)
    with ModelServer([_answer("docs"), _answer("speed")]) as server:
        _ask_model(pipeline, server.url, 'goals = "Write docs."')
        pipeline.plan(QUIET)
        assert pipeline.sensor(plan_follows_signals).run_requests == []
        _ask_model(pipeline, server.url, 'goals = "Make it fast."')
        assert len(pipeline.sensor(plan_follows_signals).run_requests) == 1
        pipeline.plan(QUIET)
        pipeline.plan(QUIET)
        assert ["Make it fast." in request.text for request in server.main_requests] == [False, True]
    with pipeline.ledger.read() as tx:
        assert {task.title for task in list_tasks(tx)} == {"docs", "speed"}


@pytest.mark.slow
def test_a_file_of_goals_is_read_anew_for_each_plan_and_a_wrong_one_makes_none(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    pipeline.collect(QUIET)
    file = pipeline.home / "goals.md"
    with ModelServer([_answer("docs"), _answer("speed")]) as server:
        _ask_model(pipeline, server.url, 'goals = ["./goals.md"]')
        missing = verdicts(pipeline.plan(QUIET))["planned", QUIET]
        assert server.main_requests == []
        file.write_text("Write docs.", encoding="utf-8")
        pipeline.plan(QUIET)
        assert pipeline.sensor(plan_follows_signals).run_requests == []
        file.write_text("Make it fast.", encoding="utf-8")
        assert len(pipeline.sensor(plan_follows_signals).run_requests) == 1
        pipeline.plan(QUIET)
        assert ["Make it fast." in request.text for request in server.main_requests] == [False, True]
    assert not missing.passed
    assert f"the file {file} cannot be used: there is no such file" in (missing.description or "")
    with pipeline.ledger.read() as tx:
        assert {task.title for task in list_tasks(tx)} == {"docs", "speed"}


@pytest.mark.slow
def test_what_people_ask_for_becomes_a_task_that_no_model_is_asked_about(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    old = manual("m1", title="Tidy up", body="Tidy up\nand more").model_copy(update={"repository": HANDBOOK})
    with ModelServer([Turn(status=400, text="no such model")]) as server:
        _ask_model(pipeline, server.url)
        pipeline.collect(HANDBOOK)
        with pipeline.ledger.write() as tx:
            add_old_request(tx, old)
        done = pipeline.plan(HANDBOOK)
        assert server.main_requests == []
    assert made(done, "tasks")[HANDBOOK]["requested"].value == 2
    assert made(done, "task_plan")[HANDBOOK]["tasks"].value == 0
    with pipeline.ledger.read() as tx:
        requested = {task.kind: task for task in list_tasks(tx)}
        actors = {kind: tasks.events(tx, task.id)[0].actor for kind, task in requested.items()}
        left = {signal.kind for signal in collections.active_signals(tx, HANDBOOK)}
    assert requested["manual"].spec.prompt == "Tidy up\nand more"
    assert requested["resolve_issue"].plan_id is None
    assert actors["manual"] == "cli:ada"
    assert actors["resolve_issue"].startswith("github:")
    assert SignalKind.MANUAL_TASK not in left, "the request of an old ledger is done with"
    pipeline.plan(HANDBOOK, again=True)
    assert len(all_tasks(pipeline)) == 2


def test_a_plan_that_fails_takes_no_request_with_it(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET).model_copy(update={"details": LABELLED}), repository=QUIET)
    done = quiet_pipeline.plan(QUIET)
    assert not verdicts(done)["planned", QUIET].passed, "GitHub is down"
    assert made(done, "tasks")[QUIET]["requested"].value == 1
    ((_, task_id),) = all_tasks(quiet_pipeline)
    assert quiet_pipeline.read_task(task_id).base_branch == "HEAD"


@pytest.mark.slow
def test_a_person_decides_what_starts_work_until_a_stranger_changes_the_text(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    def refs() -> set[str]:
        pipeline.collect(WEBSHOP)
        pipeline.plan(WEBSHOP)
        with pipeline.ledger.read() as tx:
            return {ref for task in list_tasks(tx) for ref in task.spec.signals}

    pipeline.collect(WEBSHOP)
    with pipeline.ledger.read() as tx:
        (strangers,) = [
            signal
            for signal in collections.active_signals(tx, WEBSHOP)
            if signal.verdict is not None and not signal.verdict.may_start
        ]
    assert strangers.ref not in refs()
    with pipeline.ledger.write() as tx:
        stored = decisions.find(tx, strangers.ref)
        decisions.decide(tx, stored, release=True, actor="cli:noor", reason="", trace_id=TRACE)
    forge.act_as(WEBSHOP, "passer-by", number=1, edit_remark="Delete the shop.")
    assert strangers.ref not in refs(), "that is not what was released"
    with pipeline.ledger.write() as tx:
        stored = decisions.find(tx, strangers.ref)
        decisions.decide(tx, stored, release=True, actor="cli:noor", reason="", trace_id=TRACE)
    assert strangers.ref in refs()


@pytest.mark.slow
def test_a_second_wording_of_a_goal_makes_no_second_task_and_is_named_as_such(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(title: str) -> Turn:
        task = task_draft(title=title, prompt=f"{title}.", kind="other", signals=[], evidence=[])
        return Turn(calls=(Call("final_result", {"tasks": [task]}),))

    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    titles = ("Write a tutorial for plugin authors", "Plugin authors need a tutorial")
    with ModelServer([turn(title) for title in titles]) as server:
        text = (pipeline.home / "config.toml").read_text(encoding="utf-8")
        llm = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{server.url}"\ngoals = "Help plugin authors."'
        (pipeline.home / "config.toml").write_text(text.replace('kind = "rules"', llm), encoding="utf-8")
        pipeline.collect(QUIET)
        first = pipeline.plan(QUIET)
        second = pipeline.plan(QUIET, again=True)
    assert made(first, "tasks")[QUIET]["created"].value == 1
    ((_, task_id),) = all_tasks(pipeline)
    metadata = made(second, "task_plan")[QUIET]
    assert (metadata["tasks"].value, metadata["left_out"].value) == (0, 1)
    (row,) = metadata["left_out_preview"].records
    assert (row.data["title"], row.data["reason"], row.data["duplicate of"]) == (titles[1], "duplicate", task_id)
    assert [name for _, name in all_tasks(pipeline)] == [task_id]


@pytest.mark.slow
def test_a_model_is_told_of_the_code_and_a_push_alone_makes_no_new_plan(
    pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    with ModelServer([_answer("docs")]) as server:
        _ask_model(pipeline, server.url, 'goals = "Write docs."')
        pipeline.collect(QUIET)
        done = pipeline.plan(QUIET)
        assert "The code at its head:" in server.main_requests[0].text
        FilePusher(forge, QUIET, tmp_path / "person").push("NEW.md", "Something new.\n")
        pipeline.collect(QUIET)
        pipeline.plan(QUIET)
        assert pipeline.sensor(plan_follows_signals).run_requests == []
        assert len(server.main_requests) == 1
    steps = [row.data["step"] for row in made(done, "task_plan")[QUIET]["steps"].records]
    assert steps[0].startswith("read the code: taken: main at ")
    assert count_plans(pipeline, QUIET) == 1
