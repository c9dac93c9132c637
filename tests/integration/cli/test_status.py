"""`squire status` without a running Squire: what the ledger has, what was seen last, and what is asked anew."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.conditions import ConditionState, next_condition
from squire_pipelines.health.stored_conditions import change_conditions
from squire_pipelines.home import Home
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.reloading.last_good import LastGood
from squire_pipelines.settings.file import read_settings_file
from tests.support.cli import Squire
from tests.support.ledgers import NONE_APPROVED, add_task, new_sqlite_ledger, start_attempt
from tests.support.provider import plain, serve_upstream

LOCAL = '[agent]\nkind = "command"\ncommand = ["true"]\nrunner = "local"\n'


def home_of(squire: Squire) -> Home:
    return Home(config=squire.home, data=squire.home, cache=squire.home / "cache", state=squire.home)


def store(squire: Squire, name: str, state: ConditionState, *, age: timedelta = timedelta()) -> None:
    """Store a condition, as a running Squire does."""
    seen = datetime.now(UTC) - age
    condition = next_condition(None, name, state, now=seen, fresh_for_s=90)
    change_conditions(home_of(squire), lambda known: {**known, name: condition})


def fill(squire: Squire) -> None:
    ledger: Ledger = new_sqlite_ledger(squire.home / "ledger.sqlite")
    start_attempt(ledger, title="Mend the build")
    add_task(ledger, title="Wait for a slot")
    add_task(ledger, title="Ask me first", approval=NONE_APPROVED)
    ledger.close()


def test_a_home_where_nothing_was_ever_done_says_so_and_is_left_as_it_is(squire: Squire) -> None:
    squire.config(LOCAL)
    shown = squire.ok("status")
    assert "no daemon runs" in shown
    assert "Never looked at: engine, models, clock" in shown
    assert {path.name for path in squire.home.iterdir()} <= {"config.toml", "cache"}


def test_the_work_is_shown_with_what_waits_for_what(squire: Squire) -> None:
    squire.config(f'repositories = ["acme/shop"]\n{LOCAL}')
    fill(squire)
    document = squire.json("status")
    assert document["tasks"] == {"proposed": 1, "ready": 1, "running": 1}
    (attempt,) = document["attempts"]["first"]
    assert attempt["title"] == "Mend the build"
    assert "lease_token" not in attempt
    (group,) = document["waiting"]["groups"]
    assert (group["kind"], group["tasks"]) == ("start", 1)
    assert group["text"] == "a free slot in acme/shop: 1 of 1 are taken"
    shown = squire.ok("status")
    assert "Running: 1" in shown
    assert "Proposed: 1" in shown
    assert "squire tasks list --status proposed" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown.splitlines()) <= 24


def test_what_a_running_squire_has_seen_decides_the_exit_code(squire: Squire) -> None:
    squire.config(LOCAL)
    assert squire("status").exit_code == 0  # degraded: no daemon runs
    assert squire("status", "--fail-on", "degraded").exit_code == 1
    store(squire, "engine", ConditionState.down("no container engine answers", "run `make engine`"))
    result = squire("status")
    assert result.exit_code == 1
    assert "down     engine, 0s: no container engine answers" in result.stdout
    assert "next: run `make engine`" in result.stdout
    assert squire("status", "--fail-on", "never").exit_code == 0


def test_what_nobody_looks_at_any_more_fails_no_script_and_says_how_old_it_is(squire: Squire) -> None:
    squire.config(LOCAL)
    store(squire, "engine", ConditionState.down("no container engine answers", "start it"), age=timedelta(hours=3))
    shown = squire.ok("status")
    assert "Not looked at for up to 3h00m: engine" in shown
    (engine,) = [one for one in squire.json("status")["conditions"] if one["name"] == "engine"]
    assert engine["stale"]
    assert engine["age_s"] > 10_000


def test_asking_now_stores_what_was_seen_for_the_next_time(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "x" * 36)
    with serve_upstream() as github:
        github.answer = plain(401, {"message": "Bad credentials"})
        squire.config(f'repositories = ["acme/shop"]\n[github]\napi_url = "{github.url}"\n{LOCAL}')
        asked = squire("status", "--now")
    assert asked.exit_code == 1
    assert "GitHub refuses the token (401)" in asked.stdout
    later = squire("status")
    assert "GitHub refuses the token (401)" in later.stdout
    assert "Never looked at" not in later.stdout


def test_settings_that_are_refused_leave_the_last_good_ones_and_are_told(squire: Squire) -> None:
    path = squire.config(LOCAL)
    LastGood(path, home_of(squire)).keep(read_settings_file(path), is_current=lambda: True)
    squire.config("nonsense = [")
    result = squire("status")
    assert result.exit_code == 0
    assert "the settings' file is refused, and the last good settings hold" in " ".join(result.stdout.split())


def test_settings_that_are_refused_without_earlier_ones_are_no_status(squire: Squire) -> None:
    squire.config("nonsense = [")
    assert "config.toml" in squire.fails(3, "status")


def test_a_tasks_id_shows_that_task_as_in_the_old_product(squire: Squire) -> None:
    squire.config(LOCAL)
    fill(squire)
    task = squire.json("tasks", "list")[0]["id"]
    result = squire("status", task)
    assert "squire tasks show" in result.stderr
    assert task in result.stdout


def test_a_watch_on_a_pipe_shows_the_screen_once_and_json_is_no_screen(squire: Squire) -> None:
    squire.config(LOCAL)
    assert "no daemon runs" in squire.ok("status", "--watch")
    assert "do not go together" in squire.fails(2, "status", "--watch", "--json")
