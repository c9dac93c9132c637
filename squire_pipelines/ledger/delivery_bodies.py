"""How bodies of deliveries are stored, compressed where that makes them smaller, and how many are read at once."""

import zlib

from isal import isal_zlib
from sqlalchemy import ColumnElement, func, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries

PORTION_BYTES = 32 * 2**20
"""Of bodies, as they are stored, that are in memory at once; one that is larger comes alone."""

ZLIB = "zlib"
REMOVED = "removed"
"""Of a body that is not there any more: see `delivery_body_bound`."""

_LEVEL = 0
"""Of Intel's compressor, which writes zlib's format: as small as zlib's quickest level, in a third of its time."""

_WORTH_IT = 200


def pack(body: bytes) -> tuple[bytes, str | None]:
    """Return a body as it is stored, and its encoding."""
    if len(body) < _WORTH_IT:
        return body, None
    packed = isal_zlib.compress(body, _LEVEL)
    return (packed, ZLIB) if len(packed) < len(body) else (body, None)


def portion_ids(tx: Transaction, *conditions: ColumnElement[bool], limit: int, most_bytes: int) -> list[int]:
    """Return the first rows of a condition whose bodies together have no more than so many bytes, one at the least."""
    sizes = select(deliveries.c.id, func.length(deliveries.c.body)).where(*conditions).order_by(deliveries.c.id)
    ids: list[int] = []
    size = 0
    for row_id, length in tx.execute(sizes.limit(limit)):
        size += length
        if ids and size > most_bytes:
            break
        ids.append(row_id)
    return ids


def unpack(stored: bytes, encoding: str | None) -> bytes:
    """Return a body as it was signed. Raises ValueError for one that was removed, or of a later version."""
    if encoding is None:
        return stored
    if encoding == REMOVED:
        raise ValueError("it was removed, since bodies were larger together than retention.max_delivery_bodies")
    if encoding != ZLIB:
        raise ValueError(f"a body's encoding {encoding!r} is not known")
    return zlib.decompress(stored)
