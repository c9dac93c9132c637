"""Records in the audit trail which settings changed: by a command, or between two starts. Keys, never values."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import JsonValue
from sqlalchemy import delete, insert, select, update

from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import settings_seen

MAX_KEYS = 200
"""So many keys are named in one row; of more, their number."""

_MAX_DEPTH = 6
_MARK = ""
"""The key of a row that is there after the first start, even if nothing was set then."""


def record_settings_change(
    tx: Transaction, keys: Iterable[str], *, actor: str, trace_id: str | None, how: str = "command"
) -> None:
    """Record that these settings, such as `budgets.day.usd`, were changed, and apart from the others which budgets.

    Args:
        tx: Of the ledger.
        keys: With their tables; one of a repository as `repository.owner/name.…`.
        actor: Who changed them, or noticed it.
        trace_id: Of the command.
        how: `command`, or `file` where the change was noticed at a start.
    """
    changed = sorted(set(keys))
    budgets = [key for key in changed if "budgets" in key.split(".")]
    for action, named in (("settings.changed", changed), ("budget.overridden", budgets)):
        if named:
            subject = named[0] if len(named) == 1 else f"{len(named)} settings"
            detail: dict[str, JsonValue] = {"keys": list(named[:MAX_KEYS]), "count": len(named), "how": how}
            record_audit(tx, actor=actor, action=action, subject=subject, trace_id=trace_id, detail=detail)


def notice_changed_settings(
    tx: Transaction, settings: Mapping[str, Any], *, actor: str, trace_id: str | None
) -> tuple[str, ...]:
    """Compare the settings with those of the start before, record what differs, and return the keys.

    The ledger keeps a salted digest of each value, from which no value is read. The first start records nothing.

    Args:
        tx: Of the ledger.
        settings: As nested tables, with values that JSON can hold.
        actor: Who starts.
        trace_id: Of the start, where it has one.
    """
    changed = _keep_seen(tx, settings)
    if changed:
        record_settings_change(tx, changed, actor=actor, trace_id=trace_id, how="file")
    return changed


def record_settings_command(
    tx: Transaction, keys: Iterable[str], settings: Mapping[str, Any], *, actor: str, trace_id: str
) -> None:
    """Record that a command changed these keys, so that the same change is not noticed as an edit of the file too.

    Args:
        tx: Of the ledger.
        keys: What the command changed; a table stands for all its keys.
        settings: As nested tables, after the change.
        actor: Who gave the command.
        trace_id: Of the command.
    """
    named = tuple(keys)
    if named:
        record_settings_change(tx, named, actor=actor, trace_id=trace_id)
    tables = tuple(f"{key}." for key in named)
    others = [key for key in _keep_seen(tx, settings) if key not in named and not key.startswith(tables)]
    if others:
        record_settings_change(tx, others, actor=actor, trace_id=trace_id, how="file")


def _keep_seen(tx: Transaction, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Keep a digest of each setting, and return the keys that differ from the last time; none at the first time."""
    tx.exclusive("settings seen")
    seen = {row.key: (row.salt, row.digest) for row in tx.execute(select(settings_seen))}
    present = {**dict(flatten(settings)), _MARK: ""}
    changed = [
        key
        for key, value in present.items()
        if key not in seen or not hmac.compare_digest(_digest(seen[key][0], value), seen[key][1])
    ]
    removed = [key for key in seen if key not in present]
    for key in changed:
        salt = secrets.token_hex(16)
        values = {"salt": salt, "digest": _digest(salt, present[key]), "seen_at": tx.now}
        if key in seen:
            tx.execute(update(settings_seen).where(settings_seen.c.key == key).values(**values))
        else:
            tx.execute(insert(settings_seen).values(key=key, **values))
    if removed:
        tx.execute(delete(settings_seen).where(settings_seen.c.key.in_(removed)))
    if not seen or not (changed or removed):
        return ()
    return tuple(sorted([*changed, *removed]))


def flatten(settings: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield each setting with its key, as `table.key`; what lies deeper than six tables is one value."""
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            yield from flatten(value, f"{key}.", depth + 1)
        else:
            yield key, value


def _digest(salt: str, value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(f"{salt}\n{text}".encode("ascii")).hexdigest()
