"""Stored deliveries with what they were signed with, to be verified again: by which secret does GitHub sign now?"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.ledger.delivery_bodies import unpack
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries

MAX_HOOKS = 500
"""Of webhooks and repositories whose newest deliveries are read, those that told something last."""


@dataclass(frozen=True, slots=True)
class SignedDelivery:
    """A delivery of GitHub's, its raw body, by which webhook it came, and the signature that came with it."""

    id: int
    repository: str | None
    hook_id: str | None
    received_at: datetime
    signature: str
    body: bytes


def newest_signed(tx: Transaction, *, event: str | None = None, after: int = 0) -> Iterator[SignedDelivery]:
    """Yield the newest signed delivery of each webhook about each repository, the newest first.

    Args:
        tx: Reads.
        event: Only of this event.
        after: Only with a greater id.
    """
    row = deliveries.c
    query = select(func.max(row.id)).where(
        row.source == DeliverySource.GITHUB, row.signature.is_not(None), row.id > after
    )
    if event is not None:
        query = query.where(row.event == event)
    newest = query.group_by(row.hook_id, row.repository).order_by(func.max(row.id).desc()).limit(MAX_HOOKS)
    for number in tx.execute(newest).scalars().all():  # one body at a time: each may be large
        one = tx.execute(select(deliveries).where(row.id == number)).one_or_none()
        if one is None:  # retention has just taken it
            continue
        try:
            body = unpack(one.body, one.body_encoding)
        except (ValueError, zlib.error):  # no secret signs what cannot be read; `squire webhooks show` says so
            continue
        yield SignedDelivery(one.id, one.repository, one.hook_id, one.received_at, one.signature, body)
