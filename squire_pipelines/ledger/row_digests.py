"""A digest of a table's rows that is the same in every database, in whatever order it returns them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_MODULUS = 2**256


@dataclass(slots=True)
class TableDigest:
    """How many rows a table has, and the sum of their digests."""

    rows: int = 0
    total: int = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Count rows, whose values are as the ledger's types return them."""
        for row in rows:
            text = json.dumps([_plain(value) for value in row], sort_keys=True, separators=(",", ":"), default=_plain)
            self.total = (self.total + int.from_bytes(hashlib.sha256(text.encode()).digest())) % _MODULUS
            self.rows += 1

    def text(self) -> str:
        """Return the sum as 64 signs."""
        return f"{self.total:064x}"


def _plain(value: Any) -> Any:
    """Return what stands for a value, which differs for two types that JSON does not tell apart."""
    if isinstance(value, datetime):
        return {"at": value.isoformat(timespec="microseconds")}
    if isinstance(value, bytes | memoryview):
        return {"bytes": bytes(value).hex()}
    return value
