"""`squire run --dry-run`: what a cycle would do, and that nothing is changed."""

import io
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.looks import KnownRepository
from squire_pipelines.domain.signals import OpenPullRequest
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.errors import ExitCode
from squire_pipelines.ledger import budgets, collections, decisions, deliveries, plans, repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata, model_calls
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.runtime import dry_run
from squire_pipelines.terminal.console import CleanConsole, open_console
from tests.support.ledgers import add_old_request, rows_as_stored
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import HANDBOOK, LEDGERLIB, QUIET, TRACE, WEBSHOP, Pipeline
from tests.support.pusher import FilePusher
from tests.support.signal_samples import manual
from tests.support.task_drafts import task_draft


def paper() -> tuple[CleanConsole, io.StringIO]:
    out = io.StringIO()
    return open_console(out), out


@pytest.mark.slow
def test_a_dry_run_shows_the_tasks_and_changes_nothing(pipeline: Pipeline, forge: ForgeProcess) -> None:
    before = (rows_as_stored(pipeline.ledger), forge.state())
    console, out = paper()
    dry_run.preview(pipeline.settings, pipeline.ledger, [LEDGERLIB, HANDBOOK, QUIET], console, as_json=False)
    text = out.getvalue()
    assert "Would be done (dry run: nothing was changed)" in text
    assert "Fix failing checks on main: tests" in text
    assert "Broken links and typos" in text
    console, out = paper()
    dry_run.preview(pipeline.settings, pipeline.ledger, [QUIET], console, as_json=False)
    assert "No task would be made (dry run: nothing was changed)" in out.getvalue()
    assert "priority" not in out.getvalue()
    assert (rows_as_stored(pipeline.ledger), forge.state()) == before
    with pipeline.ledger.read() as tx:
        assert deliveries.unapplied(tx) == ()


@pytest.mark.slow
def test_a_dry_run_as_json_is_the_plans(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    console, _ = paper()
    dry_run.preview(pipeline.settings, pipeline.ledger, [HANDBOOK], console, as_json=True)
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["repository"] == HANDBOOK
    assert [task["kind"] for task in plan["tasks"]] == ["resolve_issue"]


@pytest.mark.slow
def test_a_dry_run_leaves_out_what_is_out_of_reach_before_or_while_it_is_read_and_shows_the_others(
    pipeline: Pipeline, forge: ForgeProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    forge.add_fault("SettingsFile", status=403, body="no", times=1)
    names = ["demo/none", QUIET, HANDBOOK]
    code = dry_run.preview(pipeline.settings, pipeline.ledger, names, paper()[0], as_json=True)
    assert code is ExitCode.PARTLY
    written = capsys.readouterr()
    assert [plan["repository"] for plan in json.loads(written.out)] == [HANDBOOK]
    assert "left out: demo/none: there is no repository demo/none" in plain(written.err)
    assert f"left out: {QUIET}: " in plain(written.err)


def planned_by_a_dry_run(pipeline: Pipeline, capsys: pytest.CaptureFixture[str], *names: str) -> list[set[str]]:
    """The titles of a dry run's tasks, which leaves every row of the ledger as it was."""
    before = every_row(pipeline.ledger)
    dry_run.preview(pipeline.settings, pipeline.ledger, names, paper()[0], as_json=True)
    assert every_row(pipeline.ledger) == before
    return [{task["title"] for task in plan["tasks"]} for plan in json.loads(capsys.readouterr().out)]


def every_row(ledger: Ledger) -> dict[str, list[str]]:
    with ledger.read() as tx:
        return {
            table.name: [repr(row) for row in tx.execute(table.select())]
            for table in metadata.sorted_tables
            if table.name != "github_limits"  # which every process obeys
        }


def planned_by_a_cycle(pipeline: Pipeline, *names: str) -> list[set[str]]:
    pipeline.collect(*names)
    pipeline.plan(*names)
    with pipeline.ledger.read() as tx:
        return [
            set(tx.execute(select(task_table.c.title).where(task_table.c.repository == name)).scalars())
            for name in names
        ]


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["", "[trust]\nbots = []\n", '[filters]\nsources = ["failed_ci"]\n'])
def test_a_dry_run_shows_the_tasks_that_a_cycle_makes(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], settings: str
) -> None:
    pipeline.configure(settings)
    names = (LEDGERLIB, HANDBOOK, WEBSHOP, QUIET)
    foreseen = planned_by_a_dry_run(pipeline, capsys, *names)
    assert any(foreseen)
    assert foreseen == planned_by_a_cycle(pipeline, *names)
    assert planned_by_a_dry_run(pipeline, capsys, *names) == [set(), set(), set(), set()]


@pytest.mark.slow
def test_a_dry_run_with_a_model_counts_against_the_budget_and_stops_at_it_as_a_plan_does(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    answer = Turn(calls=(Call("final_result", {"tasks": []}),), prompt_tokens=700, completion_tokens=50)
    with ModelServer([answer] * 2) as server:
        pipeline.configure("[budgets.plan]\ntokens = 1000\n[budgets.day]\ntokens = 1500\n")
        planner = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{server.url}"\nmax_retries = 0\ncache_ttl_s = 0'
        path = pipeline.home / "config.toml"
        path.write_text(path.read_text(encoding="utf-8").replace('kind = "rules"', planner), encoding="utf-8")
        texts = []
        for _ in range(2):
            console, out = paper()
            dry_run.preview(pipeline.settings, pipeline.ledger, [WEBSHOP], console, as_json=False)
            texts.append(out.getvalue())
        assert len(server.main_requests) == 1
    assert "has no room for a plan" not in texts[0]
    assert "planned by rules" in texts[1]
    assert "has no room for a plan" in texts[1]
    with pipeline.ledger.read() as tx:
        (reservation,) = budgets.reservations(tx)
        (call,) = tx.execute(select(model_calls)).all()
    assert (reservation.repository, reservation.spent.tokens, reservation.state.value) == (WEBSHOP, 750, "settled")
    assert (call.purpose, call.ok, call.input_tokens, call.output_tokens) == ("plan", True, 700, 50)


@pytest.mark.slow
def test_a_cycle_takes_the_plan_that_a_dry_run_was_shown_and_paid_for(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    with ModelServer(
        [Turn(calls=(Call("final_result", {"tasks": [], "notes": ["nothing is worth doing"]}),))]
    ) as model:
        planner = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{model.url}"\nmax_retries = 0'
        file = pipeline.home / "config.toml"
        file.write_text(file.read_text(encoding="utf-8").replace('kind = "rules"', planner), encoding="utf-8")
        dry_run.preview(pipeline.settings, pipeline.ledger, [WEBSHOP], paper()[0], as_json=True)
        (shown,) = json.loads(capsys.readouterr().out)
        pipeline.collect(WEBSHOP)
        pipeline.plan(WEBSHOP)
        assert len(model.main_requests) == 1
    with pipeline.ledger.read() as tx:
        saved = plans.latest(tx, WEBSHOP)
    assert saved is not None
    assert (saved.plan.notes, saved.plan.use and saved.plan.use.cache_hit) == (tuple(shown["notes"]), True)


@pytest.mark.slow
def test_a_dry_run_asks_no_model_and_shows_no_task_where_a_cycle_would_make_none(
    pipeline: Pipeline,
    forge: ForgeProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    draft = task_draft(title="Write a manual", kind="other", signals=[], evidence=[])
    with ModelServer([Turn(calls=(Call("final_result", {"tasks": [draft]}),))]) as model:
        planner = (
            f'kind = "llm"\nmodel = "scripted"\nbase_url = "{model.url}"\nmax_retries = 0\ngoals = "A manual."\n'
            "cache_ttl_s = 0"
        )
        file = pipeline.home / "config.toml"
        file.write_text(file.read_text(encoding="utf-8").replace('kind = "rules"', planner), encoding="utf-8")
        pipeline.collect(QUIET)
        pipeline.plan(QUIET)
        console, out = paper()
        dry_run.preview(pipeline.settings, pipeline.ledger, [QUIET], console, as_json=False)
        assert "nothing has changed since the plan p" in out.getvalue()
        assert "Write a manual" not in out.getvalue()
        FilePusher(forge, WEBSHOP, tmp_path / "clone").push(".github/squire.toml", "[wrong]\n")
        console, out = paper()
        dry_run.preview(pipeline.settings, pipeline.ledger, [WEBSHOP], console, as_json=False)
        assert WEBSHOP not in out.getvalue()
        assert f"stopped: {WEBSHOP}: nothing would be planned before this is right" in plain(capsys.readouterr().err)
        assert len(model.main_requests) == 1


@pytest.mark.slow
def test_a_dry_run_heeds_what_a_person_decided_and_asked_for(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.collect(LEDGERLIB, HANDBOOK)
    with pipeline.ledger.write() as tx:
        seen = (*collections.active_signals(tx, LEDGERLIB), *collections.active_signals(tx, HANDBOOK))
        for signal in (signal for signal in seen if not isinstance(signal.details, OpenPullRequest)):
            stored = decisions.find(tx, signal.ref, repository=signal.repository)
            decisions.decide(tx, stored, release=False, actor="cli:ann", reason="", trace_id=TRACE)
        asked = manual("m1", title="Tidy up").model_copy(update={"repository": HANDBOOK})
        add_old_request(tx, asked)
    assert planned_by_a_dry_run(pipeline, capsys, LEDGERLIB, HANDBOOK) == [set(), {"Tidy up"}]


@pytest.mark.slow
def test_a_dry_run_leaves_out_a_repository_whose_name_another_one_has_now(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline.ledger.write() as tx:
        repositories.record(tx, [KnownRepository(HANDBOOK, github_id=999_999_999)])
    code = dry_run.preview(pipeline.settings, pipeline.ledger, [HANDBOOK, QUIET], paper()[0], as_json=False)
    assert code is ExitCode.PARTLY
    assert f"left out: {HANDBOOK}: {HANDBOOK} is another repository than before" in plain(capsys.readouterr().err)


@pytest.mark.slow
def test_a_dry_run_tells_of_a_source_that_could_not_be_read(pipeline: Pipeline, forge: ForgeProcess) -> None:
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    console, out = paper()
    code = dry_run.preview(pipeline.settings, pipeline.ledger, [HANDBOOK], console, as_json=False)
    assert code is ExitCode.FAILED
    assert f"{HANDBOOK}: open_issues could not be read" in out.getvalue()
