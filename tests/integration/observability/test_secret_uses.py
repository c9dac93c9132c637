"""Reads and changes of secrets in the audit trail: names, places and counts, never values."""

from collections.abc import Iterator

import pytest

from squire_pipelines.domain.audit_chain import AuditRow
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.secrets import Secret, uses
from tests.support.ledgers import TRACE

VALUE = "obviously-no-secret-0001"


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    uses.take_uses()
    yield
    uses.take_uses()


def trail(ledger: Ledger) -> tuple[AuditRow, ...]:
    with ledger.read() as tx:
        return audit_page(tx)


def test_reads_of_a_secret_are_one_row_with_their_number(ledger: Ledger) -> None:
    for _ in range(30):
        Secret(VALUE, name="model-key", origin="keyring")
    Secret(VALUE, name="of-an-attempt")  # made here, and found nowhere
    uses.count_use("rotated", "webhook-secret", "keyring")
    assert record_secret_uses(ledger, actor="pipeline", trace_id=TRACE) == 2
    rotated, read = trail(ledger)
    assert (read.action, read.subject, read.actor, read.trace_id) == ("secret.read", "model-key", "pipeline", TRACE)
    assert (read.detail["from"], read.detail["count"]) == ("keyring", 30)
    assert (rotated.action, rotated.subject) == ("secret.rotated", "webhook-secret")
    assert VALUE not in str((rotated, read))
    assert record_secret_uses(ledger, actor="pipeline") == 0


def test_a_process_that_goes_on_records_only_every_few_minutes(ledger: Ledger) -> None:
    Secret(VALUE, name="model-key", origin="keyring")
    assert record_secret_uses(ledger, actor="sensor") == 1
    Secret(VALUE, name="model-key", origin="keyring")
    assert record_secret_uses(ledger, actor="sensor", every_s=3600) == 0
    Secret(VALUE, name="model-key", origin="keyring")
    assert record_secret_uses(ledger, actor="sensor") == 1
    assert [row.detail["count"] for row in trail(ledger)] == [2, 1]


def test_what_the_ledger_does_not_take_is_counted_on(ledger: Ledger) -> None:
    closed = Ledger("sqlite:////nowhere/at/all/ledger.sqlite")
    Secret(VALUE, name="model-key", origin="keyring")
    assert record_secret_uses(closed, actor="pipeline") == 0
    assert record_secret_uses(ledger, actor="pipeline") == 1


def test_the_number_of_different_uses_is_bounded() -> None:
    for number in range(uses.MAX_USES + 7):
        uses.count_use("read", f"s{number}", "keyring")
    taken = uses.take_uses()
    assert len(taken) == uses.MAX_USES + 1
    assert sum(counted.count for counted in taken) == uses.MAX_USES + 7


def test_the_part_of_squire_that_asked_is_named() -> None:
    asking = {"__name__": "squire_pipelines.github.access", "Secret": Secret}
    exec(f"def ask():\n    Secret({VALUE!r}, name='github-token', origin='keyring')", asking)  # noqa: S102 - a caller with a name of ours
    asking["ask"]()  # type: ignore[operator] # the function above
    Secret(VALUE, name="github-token", origin="keyring")
    assert [counted.use.purpose for counted in uses.take_uses()] == ["github.access", ""]
