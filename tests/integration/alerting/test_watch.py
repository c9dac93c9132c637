"""From looks to the outbox: once each, also while the ledger is away, and with no secret in it."""

from pathlib import Path

import pytest
from sqlalchemy import select

from squire_pipelines.alerting.target import targets_of
from squire_pipelines.alerting.watch import FACTS_EVERY_S, AlertWatch
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import alert_messages
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import Settings
from tests.integration.alerting.conftest import Configure
from tests.support.ledgers import REPOSITORY, Clock, settle, start_attempt

TOLD = '[alerts]\nwebhook_url = "http://127.0.0.1:9/hook"\napprise = ["ops"]\n'
OK, DOWN = HealthLevel.OK, HealthLevel.DOWN


class Looks:
    """The looks of one home."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.clock = clock
        self.watch = AlertWatch(lambda: settings, machine="host", clock=clock)

    def look(self, *, reason: str = "gone", **levels: HealthLevel) -> None:
        now = self.clock.forward(10)
        self.watch.look([Condition(name, level, reason, "start it", now, now, 60) for name, level in levels.items()])

    def direct(self) -> list[str]:
        return [one.message.title for one in self.watch.take_direct()]


def titles(ledger: Ledger, target: str = "webhook") -> list[str]:
    """Return the titles of all messages to a target, in their order."""
    row = alert_messages.c
    with ledger.read() as tx:
        return [
            content["title"]
            for content in tx.execute(
                select(row.content).where(row.target == target).order_by(row.created_at, row.id)
            ).scalars()
        ]


NEW, OVER = "Squire: critical: engine_lost (engine on host)", "Squire: over: engine_lost (engine on host)"


def test_a_condition_that_is_down_is_in_the_outbox_once_for_each_target_and_so_is_its_end(
    configure: Configure, home_ledger: Ledger, clock: Clock
) -> None:
    looks = Looks(configure(TOLD), clock)
    for level in (DOWN, DOWN, DOWN, OK, OK, OK, OK, OK):
        looks.look(engine=level)
    assert titles(home_ledger) == titles(home_ledger, "ops") == [NEW, OVER]
    with home_ledger.read() as tx:
        assert alerts.open_alerts(tx) == ()
        (state,) = alerts.ended_alerts(tx, limit=5)
    assert (state.notifications, state.reason) == (1, "gone")
    assert looks.direct() == []


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_one_outage_is_told_once_though_the_clock_is_set_by_an_hour(
    configure: Configure, home_ledger: Ledger, clock: Clock, jump_s: float
) -> None:
    looks = Looks(configure(TOLD), clock)
    looks.look(engine=DOWN)
    clock.forward(jump_s)
    looks.watch.look([])  # nobody has looked at the engine since
    for level in (DOWN, OK, OK, OK, OK, OK):
        looks.look(engine=level)
    assert sorted(titles(home_ledger)) == sorted([NEW, OVER])


def test_the_ledgers_facts_are_read_each_twenty_seconds(
    configure: Configure, home_ledger: Ledger, clock: Clock
) -> None:
    settings, seconds = configure(f'repositories = ["{REPOSITORY}"]\n{TOLD}'), [0.0]
    watch = AlertWatch(lambda: settings, machine="host", clock=clock, monotonic=lambda: seconds[0])
    watch.look([])
    for _ in range(3):
        settle(home_ledger, start_attempt(home_ledger, max_attempts=1), Cause.AGENT_ERROR)
    seconds[0] = FACTS_EVERY_S - 1
    watch.look([])
    assert titles(home_ledger) == []
    seconds[0] = FACTS_EVERY_S
    watch.look([])
    assert len(titles(home_ledger)) == 1


def test_another_process_goes_on_where_one_was_killed(configure: Configure, home_ledger: Ledger, clock: Clock) -> None:
    settings = configure(TOLD)
    for level in (DOWN, DOWN, OK, OK, OK, OK, OK):
        Looks(settings, clock).look(engine=level)
    assert titles(home_ledger) == [NEW, OVER]


def test_a_secret_of_the_process_is_in_no_message(configure: Configure, home_ledger: Ledger, clock: Clock) -> None:
    Secret("swordfish-1234567")
    Looks(configure(TOLD), clock).look(reason="login with swordfish-1234567 failed", engine=DOWN)
    with home_ledger.read() as tx:
        content = tx.execute(select(alert_messages.c.content)).scalars().all()[0]
    assert "swordfish" not in str(content)
    assert "[redacted]" in content["body"]


@pytest.mark.parametrize(
    "reason",
    [
        "cannot reach https://user:hunter2hunter2@example.org/x",
        "login with sword@fish|1234*567 failed",
        f"{'x' * 390} sword@fish|1234*567",
    ],
    ids=["in a URL", "with signs that chats act upon", "where the text is cut"],
)
def test_a_secret_is_masked_before_a_text_is_made_inert_or_cut(
    configure: Configure, home_ledger: Ledger, clock: Clock, reason: str
) -> None:
    Secret("sword@fish|1234*567")
    Looks(configure(TOLD), clock).look(reason=reason, engine=DOWN)
    with home_ledger.read() as tx:
        content = str(tx.execute(select(alert_messages.c.content)).scalars().all()[0])
        (state,) = alerts.open_alerts(tx)
    assert "[redacted" in content
    for text in (content, state.reason):
        assert "hunter2" not in text
        assert "sword" not in text


def test_while_the_ledger_is_away_alerts_are_sent_from_memory_and_recorded_when_it_is_back(
    configure: Configure, home_ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    looks = Looks(configure(TOLD), clock)
    looks.look(engine=DOWN, ledger=OK)
    file = tmp_path / "ledger.sqlite"
    home_ledger.close()
    file.rename(tmp_path / "kept")
    file.write_bytes(b"not a database" * 100)
    looks.look(engine=DOWN, ledger=DOWN)
    looks.look(engine=DOWN, ledger=DOWN)
    assert looks.direct() == ["Squire: critical: ledger_lost (ledger on host)"]
    file.unlink()
    (tmp_path / "kept").rename(file)
    for _ in range(5):
        looks.look(engine=DOWN, ledger=OK)
    assert looks.direct() == []
    assert titles(home_ledger) == [NEW, "Squire: over: ledger_lost (ledger on host)"]
    with home_ledger.read() as tx:
        assert [state.rule for state in alerts.open_alerts(tx)] == ["engine_lost"]


def test_before_there_is_a_ledger_alerts_are_sent_from_memory(
    configure: Configure, clock: Clock, tmp_path: Path
) -> None:
    settings = configure(TOLD)
    (tmp_path / "ledger.sqlite").unlink()
    looks = Looks(settings, clock)
    for level in (DOWN, DOWN, OK, OK, OK, OK, OK):
        looks.look(engine=level)
    assert looks.direct() == [NEW, OVER]
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_tenants_targets_get_what_is_about_its_repositories_alone(
    configure: Configure, home_ledger: Ledger, clock: Clock
) -> None:
    names = (REPOSITORY, "beta/site")
    settings = configure(
        f'repositories = ["{names[0]}", "{names[1]}"]\n{TOLD}'
        f'[tenants.acme]\nrepositories = ["{names[0]}"]\nalerts.apprise = ["team"]\n'
        f'[tenants.beta]\nrepositories = ["{names[1]}"]\nalerts.webhook_url = "https://beta.example.com/hook"\n'
    )
    for name in names:
        for _ in range(3):
            settle(home_ledger, start_attempt(home_ledger, max_attempts=1, repository=name), Cause.AGENT_ERROR)
    Looks(settings, clock).look(engine=DOWN)
    sent = {target: titles(home_ledger, target) for target in ("ops", "acme.team", "beta.webhook")}
    assert {target: len(messages) for target, messages in sent.items()} == {"ops": 1, "acme.team": 1, "beta.webhook": 1}
    with home_ledger.read() as tx:
        rows = tx.execute(select(alert_messages.c.target, alert_messages.c.content)).all()
    subjects = {row.target: {alert["subject"] for alert in row.content["alerts"]} for row in rows}
    for target, name in (("acme.team", names[0]), ("beta.webhook", names[1])):
        assert subjects[target]
        assert {subject.rpartition(" of ")[2] for subject in subjects[target]} == {name}
    assert {*names, "engine on host"} <= subjects["ops"]


def test_a_tenants_targets_are_known_by_its_name_and_get_nothing_of_the_machine(configure: Configure) -> None:
    settings = configure(
        f'repositories = ["a/b"]\n{TOLD}[tenants.acme]\nrepositories = ["a/b"]\nalerts.apprise = ["team"]\n'
    )
    targets = targets_of(settings)
    assert [(one.name, one.is_of_tenant) for one in targets] == [
        ("webhook", False),
        ("ops", False),
        ("acme.team", True),
    ]
    assert "acme.alert-team-token" in settings.named_secrets
