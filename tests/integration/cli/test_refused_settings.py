"""What works while the settings' file is refused, and what a command that only reads leaves of a mistyped home."""

import json

import pytest

from squire_pipelines.home import Home
from squire_pipelines.reloading.last_good import LastGood
from squire_pipelines.settings.file import read_settings_file
from tests.support.cli import SampleData, Squire

WARNING = "the settings' file is refused, and the last good settings hold"
TYPO = '[agent]\nkind = "comand"\n'
READERS = (
    ("alerts", "list"),
    ("audit", "list"),
    ("backup", "list"),
    ("debug", "status"),
    ("tasks", "list"),
    ("webhooks", "list"),
)


def test_an_incident_is_handled_by_the_last_good_settings(squire: Squire, samples: SampleData) -> None:
    task = samples.task()
    path = squire.config('repositories = ["acme/shop"]\n')
    LastGood(path, Home.from_environment()).keep(read_settings_file(path), is_current=lambda: True)
    squire.config(TYPO)
    for words in (
        ("alerts", "list"),
        ("alerts", "silence", "github_lost", "--for", "2h"),
        ("alerts", "unsilence", "github_lost"),
        ("trace", task),
        ("backup", "list"),
        ("debug", "on", "--repository", "acme/shop", "--for", "1h"),
        ("debug", "off"),
        ("tasks", "list"),
        ("tasks", "show", task),
        ("tasks", "cancel", task),
        ("ledger", "check"),
    ):
        result = squire(*words)
        assert result.exit_code == 0, (words, result.output)
        if words[0] != "debug" or "--repository" in words:
            assert WARNING in result.stderr, words
            assert "comand" in result.stderr
    assert WARNING in squire("tasks", "list").stderr  # the wrong file is not remembered as checked
    assert "comand" in squire.fails(3, "run", "--dry-run")  # what starts work means the file as it is


def test_without_earlier_settings_the_refusal_stays(squire: Squire) -> None:
    squire.config(TYPO)
    assert "comand" in squire.fails(3, "alerts", "list")


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_command_that_reads_makes_no_ledger_in_a_mistyped_home(squire: Squire, words: tuple[str, ...]) -> None:
    result = squire(*words, "--json")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)
    if words not in {("backup", "list"), ("debug", "status")}:  # these ask no ledger
        assert f"there is no ledger at {squire.home / 'ledger.sqlite'}" in result.stderr
    assert not squire.home.exists() or not list(squire.home.rglob("*.sqlite*"))
