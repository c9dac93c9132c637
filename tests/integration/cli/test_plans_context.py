"""`squire plans context` against the forge: what a planner is told, and commands that are offered and not run."""

import tomllib

import pytest

from squire_forge.process import ForgeProcess
from tests.support.cli import Squire
from tests.support.forge import forge, forge_home, hosted_home, samples
from tests.support.ledgers import sqlite_ledger_file

__all__ = ["forge", "forge_home", "hosted_home", "samples"]
REPOSITORY = "demo/ledgerlib"


@pytest.fixture
def configured(squire: Squire, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch) -> Squire:
    squire.config(f'repositories = ["{REPOSITORY}"]\n[github]\napi_url = "{forge.api_url}"\n')
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    sqlite_ledger_file(squire.home / "ledger.sqlite")
    return squire


@pytest.mark.slow
def test_what_a_planner_is_told_is_shown_and_commands_are_offered_as_settings(configured: Squire) -> None:
    shown = configured.ok("plans", "context", REPOSITORY)
    assert "The code at its head:" in shown
    assert "languages: Python" in shown
    table = tomllib.loads(shown[shown.index("[repository.") :])["repository"][REPOSITORY]["verification"]
    assert table["tests"]
    document = configured.json("plans", "context", REPOSITORY)
    assert document["bytes"] == len(document["prompt"].encode()) <= 24 * 1024
    assert document["verification"]["tests"]["command"] == table["tests"]
    assert document["code"]["branch"] == "main"
    assert {"tasks", "lessons", "remarks", "pull_requests"} == set(document["history"])


@pytest.mark.slow
def test_a_command_that_the_settings_have_is_not_offered(configured: Squire) -> None:
    file = configured.home / "config.toml"
    file.write_text(file.read_text() + f'[repository."{REPOSITORY}".verification]\ntests = "true"\n')
    assert "tests" not in configured.json("plans", "context", REPOSITORY)["verification"]


@pytest.mark.slow
def test_a_planner_that_is_told_nothing_says_so(configured: Squire) -> None:
    file = configured.home / "config.toml"
    file.write_text(file.read_text() + "[planner]\ncontext_bytes = 0\n")
    assert configured.ok("plans", "context", REPOSITORY).startswith("planner.context_bytes is 0: ")


def test_a_repository_that_the_settings_do_not_name_is_refused(configured: Squire) -> None:
    assert "not among the repositories" in configured.fails(3, "plans", "context", "demo/none")


@pytest.mark.slow
def test_code_that_cannot_be_read_ends_with_its_reason(configured: Squire) -> None:
    mirrors = configured.home / "cache" / "mirrors"
    mirrors.parent.mkdir(parents=True)
    mirrors.write_text("in the way")
    shown = configured.fails(1, "plans", "context", REPOSITORY)
    assert "not read: its files cannot be kept" in shown


@pytest.mark.slow
def test_what_is_told_of_a_groups_repositories_shares_the_room_of_one(configured: Squire) -> None:
    file = configured.home / "config.toml"
    group = f'[[planner.group]]\nname = "both"\nrepositories = ["{REPOSITORY}", "demo/handbook"]\ngoals = "Go."\n'
    text = file.read_text().replace(f'["{REPOSITORY}"]', f'["{REPOSITORY}", "demo/handbook"]')
    file.write_text(f"{text}[planner]\ncontext_bytes = 2000\n{group}")
    shown = configured.ok("plans", "context", "--group", "both")
    assert f"What is known of {REPOSITORY}:" in shown
    assert "branch trunk, commit " in shown
    document = configured.json("plans", "context", "--group", "both")
    assert [one["repository"] for one in document["repositories"]] == [REPOSITORY, "demo/handbook"]
    assert document["bytes"] == sum(len(one["prompt"].encode()) for one in document["repositories"]) <= 2000
    assert "name a repository, or a group" in configured.fails(2, "plans", "context", REPOSITORY, "--group", "both")
    assert "there are both" in configured.fails(3, "plans", "context", "--group", "none")
