"""The newest signed delivery of each webhook, on both databases."""

import pytest
from sqlalchemy import update

from squire_pipelines.ledger.signed_deliveries import newest_signed
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries
from tests.support.deliveries import push, record_delivery


@pytest.mark.parametrize("damage", [{"body": b"no zlib", "body_encoding": "zlib"}, {"body_encoding": "of-later"}])
def test_one_whose_body_cannot_be_read_is_passed_over(ledger: Ledger, damage: dict[str, object]) -> None:
    for place, name in enumerate(("acme/api", "acme/shop")):
        number = record_delivery(
            ledger, source="github", delivery_id=f"d{place}", event="push", action=None, repository=name, body=push()
        ).id
        values = {"signature": "sha256=0", **(damage if place else {})}
        with ledger.write() as tx:
            tx.execute(update(deliveries).where(deliveries.c.id == number).values(**values))
    with ledger.read() as tx:
        assert [(one.repository, one.body) for one in newest_signed(tx)] == [("acme/api", push())]
