"""`squire run`: whom it asks, and a cycle that somebody else works on."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.errors import (
    ConfigError,
    ExitCode,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    SecretMissingError,
)
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime import one_cycle
from squire_pipelines.runtime.home_lock import home_lock
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.goals import goals_among
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.named_repositories import repositories_of_cycle
from squire_pipelines.terminal.console import CleanConsole, open_console
from tests.support.children import PATIENCE_S
from tests.support.pipeline import ALL, HANDBOOK, QUIET, WEBSHOP, Pipeline


def paper() -> tuple[CleanConsole, io.StringIO]:
    out = io.StringIO()
    return open_console(out), out


@pytest.mark.slow
def test_the_named_repositories_count_else_those_of_the_settings(quiet_pipeline: Pipeline) -> None:
    settings = quiet_pipeline.settings
    assert repositories_of_cycle(settings, [WEBSHOP, WEBSHOP.upper(), QUIET]) == (WEBSHOP, QUIET)
    assert repositories_of_cycle(settings, []) == ALL


def test_a_cycle_over_nothing_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"name no repository: .*/config.toml, which does not exist") as caught:
        repositories_of_cycle(Settings(), ["acme/api"])
    assert "squire init" in caught.value.hint


def test_a_cycle_whose_goals_cannot_be_read_begins_nothing_where_a_model_plans(ledger: Ledger, tmp_path: Path) -> None:
    agent = AgentSettings(kind="command", command=("true",))
    planner = PlannerSettings(model="openai:small", goals=(tmp_path / "goals.md",))
    settings = Settings(repositories=("acme/api",), agent=agent, planner=planner)
    with pytest.raises(ConfigError, match=r"goals.md cannot be used: there is no such file"):
        one_cycle.run(settings, ledger, ["acme/api"], paper()[0], timeout_s=1, as_json=False)
    with ledger.read() as tx:
        assert deliveries.newest(tx, source=DeliverySource.COMMAND) is None


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
        assert deliveries.newest(tx, source=DeliverySource.COMMAND) is None
    assert [goals.key for goals in goals_among(settings, ["acme/lib"])] == [("planner", "goals")]


def test_a_repository_that_the_settings_do_not_name_is_neither_read_nor_worked_on() -> None:
    settings = Settings(repositories=("acme/api",))
    with pytest.raises(ConfigError, match="acme/two: not among the repositories of the settings") as caught:
        repositories_of_cycle(settings, ["acme/api", "acme/two"])
    assert "config.toml" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        repositories_of_cycle(settings, ["no slash"])
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
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SecretMissingError, match="github-token"):
        one_cycle.check_access(quiet_pipeline.settings, quiet_pipeline.ledger, [QUIET])


def test_github_that_does_not_answer_is_said_and_nothing_is_asked_for(quiet_pipeline: Pipeline) -> None:
    console, _ = paper()
    with pytest.raises(GitHubUnavailableError, match="nothing answers there"):
        one_cycle.run(quiet_pipeline.settings, quiet_pipeline.ledger, [QUIET], console, timeout_s=1, as_json=False)
    with quiet_pipeline.ledger.write() as tx:
        assert deliveries.take_for_collection(tx, deliveries.RequestRule(0, 5)) == ()


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
                    asked = deliveries.take_for_collection(tx, deliveries.RequestRule(1000, 5))
                if asked:
                    names = [delivery.repository for delivery in asked if delivery.repository]
                    pipeline.collect(*names, deliveries=[delivery.id for delivery in asked])
                    pipeline.plan(*names)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert taken.wait(PATIENCE_S)
        yield
    finally:
        over.set()
        worker.join(PATIENCE_S)


@pytest.mark.slow
def test_a_cycle_that_another_squire_works_on_is_waited_for_and_reported(pipeline: Pipeline) -> None:
    console, out = paper()
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [QUIET], console, timeout_s=PATIENCE_S, as_json=False)
    assert code is ExitCode.DONE
    text = out.getvalue()
    assert "collected 1 repository" in text
    assert "planned: 0 tasks" in text
    assert "daemon" not in text


@pytest.mark.slow
def test_a_repository_that_is_missing_is_left_out_of_a_cycle_that_serves_the_others(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    console, out = paper()
    names = ["demo/none", QUIET]
    with somebody_who_works(pipeline):
        code = one_cycle.run(pipeline.settings, pipeline.ledger, names, console, timeout_s=PATIENCE_S, as_json=False)
    assert code is ExitCode.PARTLY
    assert "collected 1 repository" in out.getvalue()
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
        code = one_cycle.run(pipeline.settings, pipeline.ledger, [QUIET], console, timeout_s=PATIENCE_S, as_json=False)
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
