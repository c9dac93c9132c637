"""`squire run`: whom it asks, the dry run, and a cycle that somebody else works on."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.looks import KnownRepository
from squire_pipelines.domain.signals import OpenPullRequest
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.errors import (
    ConfigError,
    ExitCode,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    SecretMissingError,
)
from squire_pipelines.ledger import budgets, collections, decisions, deliveries, plans, repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata, model_calls
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.runtime import dry_run, one_cycle
from squire_pipelines.runtime.services import home_lock
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.goals import goals_among
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.console import CleanConsole, open_console
from tests.support.ledgers import rows_as_stored
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import ALL, HANDBOOK, LEDGERLIB, QUIET, TRACE, WEBSHOP, Pipeline
from tests.support.pusher import FilePusher
from tests.support.signal_samples import manual
from tests.support.task_drafts import task_draft


def paper() -> tuple[CleanConsole, io.StringIO]:
    out = io.StringIO()
    return open_console(out), out


@pytest.mark.slow
def test_the_named_repositories_count_else_those_of_the_settings(quiet_pipeline: Pipeline) -> None:
    settings = quiet_pipeline.settings
    assert one_cycle.repositories_of_cycle(settings, [WEBSHOP, WEBSHOP.upper(), QUIET]) == (WEBSHOP, QUIET)
    assert one_cycle.repositories_of_cycle(settings, []) == ALL


def test_a_cycle_over_nothing_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"name no repository: .*/config.toml, which does not exist") as caught:
        one_cycle.repositories_of_cycle(Settings(), ["acme/api"])
    assert "squire init" in caught.value.hint


def test_a_cycle_whose_goals_cannot_be_read_begins_nothing_where_a_model_plans(ledger: Ledger, tmp_path: Path) -> None:
    agent = AgentSettings(kind="command", command=("true",))
    planner = PlannerSettings(model="openai:small", goals=(tmp_path / "goals.md",))
    settings = Settings(repositories=("acme/api",), agent=agent, planner=planner)
    with pytest.raises(ConfigError, match=r"goals.md cannot be used: there is no such file"):
        one_cycle.run(settings, ledger, ["acme/api"], paper()[0], timeout_s=1, as_json=False)
    with ledger.read() as tx:
        assert deliveries.newest(tx, source=deliveries.COMMAND) is None


@pytest.mark.parametrize("name", ["acme/api", "acme/web"])
def test_a_cycle_begins_nothing_where_the_goals_of_a_group_that_it_touches_cannot_be_read(
    ledger: Ledger, tmp_path: Path, name: str
) -> None:
    agent = AgentSettings(kind="command", command=("true",))
    group = PlanGroup(name="both", repositories=("acme/api", "acme/web"), goals=(tmp_path / "both.md",))
    planner = PlannerSettings(model="openai:small", group=(group,))
    settings = Settings(repositories=("acme/api", "acme/web", "acme/lib"), agent=agent, planner=planner)
    with pytest.raises(ConfigError, match=r"both.md cannot be used: there is no such file"):
        one_cycle.run(settings, ledger, [name], paper()[0], timeout_s=1, as_json=False)
    with ledger.read() as tx:
        assert deliveries.newest(tx, source=deliveries.COMMAND) is None
    assert [goals.key for goals in goals_among(settings, ["acme/lib"])] == [("planner", "goals")]


def test_a_repository_that_the_settings_do_not_name_is_neither_read_nor_worked_on() -> None:
    settings = Settings(repositories=("acme/api",))
    with pytest.raises(ConfigError, match="acme/two: not among the repositories of the settings") as caught:
        one_cycle.repositories_of_cycle(settings, ["acme/api", "acme/two"])
    assert "config.toml" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        one_cycle.repositories_of_cycle(settings, ["no slash"])
    assert caught.value.hint == "for example acme/api"


@pytest.mark.slow
def test_access_is_checked_before_anything_is_written(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_cycle.check_access(pipeline.settings, pipeline.ledger, ALL) == {}
    with pytest.raises(GitHubNotFoundError, match="there is no repository demo/none"):
        one_cycle.check_access(pipeline.settings, pipeline.ledger, ["demo/none", "demo/nothing"])
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "w" * 36)
    with pytest.raises(GitHubAuthError) as caught:
        one_cycle.check_access(pipeline.settings, pipeline.ledger, [QUIET])
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    assert caught.value.hint


def test_a_token_that_is_missing_is_named(quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_GITHUB_TOKEN")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SecretMissingError, match="github-token"):
        one_cycle.check_access(quiet_pipeline.settings, quiet_pipeline.ledger, [QUIET])


def test_github_that_does_not_answer_is_said_and_nothing_is_asked_for(quiet_pipeline: Pipeline) -> None:
    console, _ = paper()
    with pytest.raises(GitHubUnavailableError, match="nothing answers there"):
        one_cycle.run(quiet_pipeline.settings, quiet_pipeline.ledger, [QUIET], console, timeout_s=1, as_json=False)
    with quiet_pipeline.ledger.write() as tx:
        assert deliveries.take_for_collection(tx, retry_after_s=0) == ()


@pytest.mark.slow
def test_a_dry_run_shows_the_tasks_and_changes_nothing(pipeline: Pipeline, forge: ForgeProcess) -> None:
    before = (rows_as_stored(pipeline.ledger), forge.state())
    console, out = paper()
    dry_run.preview(pipeline.settings, pipeline.ledger, [LEDGERLIB, HANDBOOK, QUIET], console, as_json=False)
    text = out.getvalue()
    assert "Would be done (dry run: nothing was changed)" in text
    assert "Fix failing checks on main: tests" in text
    assert "Broken links and typos" in text
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
def test_a_dry_run_leaves_out_a_repository_that_is_missing_and_shows_the_others(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    console, _ = paper()
    code = dry_run.preview(pipeline.settings, pipeline.ledger, ["demo/none", HANDBOOK], console, as_json=True)
    assert code is ExitCode.FAILED
    written = capsys.readouterr()
    assert [plan["repository"] for plan in json.loads(written.out)] == [HANDBOOK]
    assert "left out: demo/none: there is no repository demo/none" in plain(written.err)


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
        collections.add_manual_signal(tx, asked, trace_id=TRACE)
    assert planned_by_a_dry_run(pipeline, capsys, LEDGERLIB, HANDBOOK) == [set(), {"Tidy up"}]


@pytest.mark.slow
def test_a_dry_run_leaves_out_a_repository_whose_name_another_one_has_now(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    with pipeline.ledger.write() as tx:
        repositories.record(tx, [KnownRepository(HANDBOOK, github_id=999_999_999)])
    code = dry_run.preview(pipeline.settings, pipeline.ledger, [HANDBOOK, QUIET], paper()[0], as_json=False)
    assert code is ExitCode.FAILED
    assert f"left out: {HANDBOOK}: {HANDBOOK} is another repository than before" in plain(capsys.readouterr().err)


@pytest.mark.slow
def test_a_dry_run_tells_of_a_source_that_could_not_be_read(pipeline: Pipeline, forge: ForgeProcess) -> None:
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    console, out = paper()
    dry_run.preview(pipeline.settings, pipeline.ledger, [HANDBOOK], console, as_json=False)
    assert f"{HANDBOOK}: open_issues could not be read" in out.getvalue()


@contextmanager
def somebody_who_works(pipeline: Pipeline) -> Iterator[None]:
    """Another process that serves the home: here a thread that holds it and does what the inbox asks for."""
    over = threading.Event()
    taken = threading.Event()

    def work() -> None:
        with home_lock(pipeline.settings.home.run):
            taken.set()
            while not over.wait(0.05):
                with pipeline.ledger.write() as tx:
                    asked = deliveries.take_for_collection(tx, retry_after_s=1000)
                if asked:
                    names = [delivery.repository for delivery in asked if delivery.repository]
                    pipeline.collect(*names, deliveries=[delivery.id for delivery in asked])
                    pipeline.plan(*names)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert taken.wait(10)
        yield
    finally:
        over.set()
        worker.join(60)


@pytest.mark.slow
def test_a_cycle_that_another_squire_works_on_is_waited_for_and_reported(pipeline: Pipeline) -> None:
    console, out = paper()
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [QUIET], console, timeout_s=60, as_json=False)
    assert code is ExitCode.DONE
    text = out.getvalue()
    assert "collected 1 repositories" in text
    assert "planned: 0 tasks" in text
    assert "daemon" not in text


@pytest.mark.slow
def test_a_repository_that_is_missing_is_left_out_of_a_cycle_which_fails_and_serves_the_others(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    console, out = paper()
    names = ["demo/none", QUIET]
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, names, console, timeout_s=60, as_json=False)
    assert code is ExitCode.FAILED
    assert "collected 1 repositories" in out.getvalue()
    assert "planned: 0 tasks" in out.getvalue()
    assert "left out: demo/none: there is no repository demo/none" in plain(capsys.readouterr().err)


@pytest.mark.slow
def test_a_cycle_whose_time_is_up_fails_and_says_that_it_goes_on(pipeline: Pipeline) -> None:
    console, out = paper()
    with home_lock(pipeline.settings.home.run):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [QUIET], console, timeout_s=0.01, as_json=False)
    assert code is ExitCode.FAILED
    assert "the time was up" in out.getvalue()


@pytest.mark.slow
def test_a_source_that_did_not_answer_fails_the_cycle(pipeline: Pipeline, forge: ForgeProcess) -> None:
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    console, out = paper()
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [QUIET], console, timeout_s=60, as_json=False)
    assert code is ExitCode.FAILED
    assert f"{QUIET}: open_issues did not answer" in out.getvalue()


@pytest.mark.slow
def test_the_report_as_json_says_whether_all_has_settled(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    console, _ = paper()
    # Long enough for a busy machine to collect and plan; nobody dispatches here, so that the task stays ready.
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [HANDBOOK], console, timeout_s=20, as_json=True)
    assert code is ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["settled"] is False
    assert [task["status"] for task in document["tasks"]] == ["ready"]
