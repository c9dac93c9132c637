"""`squire config reload`, and what `config show` and `doctor` say of the running processes."""

from collections.abc import Iterator

import pytest

from squire_pipelines.home import Home
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.settings.restarts import Part
from tests.support.cli import Squire
from tests.support.settings_files import WRONG, write_settled

TOKEN = "ghp_" + "s" * 36


class Running:
    """A process of the home, as a thread of the test."""

    def __init__(self, squire: Squire) -> None:
        self.home = Home.from_environment()
        self.in_force = SettingsInForce(self.home.config_file, self.home)
        self.status = StatusFile(self.home, Part.RECEIVER)
        self.squire = squire
        self.write()

    def write(self) -> None:
        self.status.write(status_of(self.in_force, Part.RECEIVER))

    def look(self) -> None:
        self.in_force.check()
        self.write()


@pytest.fixture
def running(squire: Squire) -> Iterator[Running]:
    write_settled(squire.home / "config.toml", "[dispatch]\nmax_concurrent = 2\n")
    made = Running(squire)
    yield made
    made.status.close()


def test_a_reload_says_what_changed_and_who_has_taken_it_and_what_waits_for_a_restart(running: Running) -> None:
    text = f'[webhooks]\nport = 9000\n[alerts]\nwebhook_url = "http://127.0.0.1:9/{TOKEN}"\n'
    write_settled(running.home.config_file, text)
    with SettingsWatch(running.in_force, after_look=lambda _: running.write(), every_s=0.01):
        output = running.squire.ok("config", "reload", "--wait", "60")
        again = running.squire.json("config", "reload", "--wait", "60")
    assert "changed since the version" in output
    assert "webhooks.port" in output
    assert "taken" in output
    assert TOKEN not in output
    assert set(again["changed"]) == {"dispatch.max_concurrent", "webhooks.port", "alerts.webhook_url"}
    (process,) = again["processes"]
    assert (process["process"], process["state"], process["version"]) == ("receiver", "taken", again["version"])
    assert process["restart"] == ["webhooks.port"]
    assert "start receiver" in running.squire("config", "show").stderr


def test_a_changed_key_names_who_has_to_be_started_again_for_it(running: Running) -> None:
    assert "start receiver again" in running.squire("config", "set", "webhooks.port", "9001").stderr
    assert "again" not in running.squire("config", "set", "dispatch.max_concurrent", "3").stderr
    assert "again" not in running.squire("config", "set", "backup.schedule", "17 4 * * *").stderr  # no part of it runs


def test_a_process_that_does_not_answer_is_told_after_the_wait(running: Running) -> None:
    write_settled(running.home.config_file, "[dispatch]\nmax_concurrent = 3\n")
    result = running.squire("config", "reload", "--wait", "0")
    assert result.exit_code == 1
    assert "not yet" in result.stdout
    assert "has not taken" in running.squire("config", "show").stderr


def test_a_wrong_file_is_refused_and_everybody_says_what_holds(running: Running) -> None:
    version = running.in_force.state.version
    write_settled(running.home.config_file, WRONG)
    running.look()
    for words in (("config", "reload"), ("config", "show")):
        errors = running.squire.fails(3, *words)
        assert f"refuses the changed settings, and the version {version} holds" in errors
        assert "dispatch.max_concurrent" in errors
    lines = running.squire("doctor", "--json").stdout
    assert f"the version {version} holds" in lines
    running.squire.fails(3, "config", "validate")
    running.status.close()
    assert "last good copy" in running.squire.fails(3, "config", "reload")


def test_without_a_process_the_next_start_reads_the_file(squire: Squire) -> None:
    squire.config("[dispatch]\nmax_concurrent = 2\n")
    assert "no process of this home is running" in squire.ok("config", "reload")
    assert squire.json("config", "reload")["processes"] == []
