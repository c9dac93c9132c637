"""Changes of settings in the audit trail: which keys, by whom, never which values."""

from squire_pipelines.domain.audit_chain import AuditRow
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.settings_changes import (
    MAX_KEYS,
    notice_changed_settings,
    record_settings_change,
    record_settings_command,
)
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import settings_seen
from tests.support.ledgers import TRACE

VALUE = "not-for-the-record"
FIRST = {"budgets": {"day": {"usd": 5}}, "alerts": {"webhook_url": VALUE}, "repositories": {"acme/shop": {}}}


def start(ledger: Ledger, settings: dict[str, object]) -> tuple[str, ...]:
    with ledger.write() as tx:
        return notice_changed_settings(tx, settings, actor="sensor", trace_id=None)


def trail(ledger: Ledger) -> tuple[AuditRow, ...]:
    with ledger.read() as tx:
        return audit_page(tx)


def test_what_changed_between_two_starts_is_told_by_its_keys(ledger: Ledger) -> None:
    assert start(ledger, FIRST) == ()
    assert start(ledger, FIRST) == ()
    assert trail(ledger) == ()
    changed = {"budgets": {"day": {"usd": 50}}, "repositories": {"acme/shop": {"policy": {"max_lines": 5}}}}
    assert start(ledger, changed) == (
        "alerts.webhook_url",
        "budgets.day.usd",
        "repositories.acme/shop",
        "repositories.acme/shop.policy.max_lines",
    )
    overridden, row = trail(ledger)
    assert (row.action, row.subject, row.detail["how"]) == ("settings.changed", "4 settings", "file")
    assert (overridden.action, overridden.subject) == ("budget.overridden", "budgets.day.usd")
    assert VALUE not in str((overridden, row))
    with ledger.read() as tx:
        assert VALUE not in str(tx.execute(settings_seen.select()).all())
    assert start(ledger, changed) == ()


def test_the_first_setting_after_a_start_without_any_is_a_change(ledger: Ledger) -> None:
    assert start(ledger, {}) == ()
    assert start(ledger, FIRST) == ("alerts.webhook_url", "budgets.day.usd", "repositories.acme/shop")


def test_a_command_records_its_keys_and_so_many_at_most(ledger: Ledger) -> None:
    with ledger.write() as tx:
        keys = [f"table.key{number}" for number in range(MAX_KEYS + 1)]
        record_settings_change(tx, keys, actor="cli:ann", trace_id=TRACE)
    (row,) = trail(ledger)
    assert (row.actor, row.detail["how"], row.detail["count"]) == ("cli:ann", "command", MAX_KEYS + 1)
    assert len(row.detail["keys"]) == MAX_KEYS


def test_a_commands_change_is_told_once_and_an_edit_beside_it_apart(ledger: Ledger) -> None:
    start(ledger, FIRST)
    changed = {**FIRST, "budgets": {"day": {"usd": 6}, "month": {"usd": 7}}}
    with ledger.write() as tx:
        record_settings_command(tx, ["budgets.day"], changed, actor="cli:ann", trace_id=TRACE)
    changes = [(row.detail["how"], row.detail["keys"]) for row in trail(ledger) if row.action == "settings.changed"]
    assert changes == [("file", ["budgets.month.usd"]), ("command", ["budgets.day"])]
    assert start(ledger, changed) == ()
