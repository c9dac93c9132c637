"""The file of a home that has its conditions, so that each process knows them without asking anything."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from squire_pipelines.domain.conditions import ORDER, Condition
from squire_pipelines.files import lock, open_untrusted, write_atomically
from squire_pipelines.home import Home, make_folder

_MAX_BYTES = 256 * 2**10
_LOCK_TIMEOUT_S = 5.0


class StoredConditions(BaseModel):
    """What the file has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    conditions: tuple[Condition, ...] = ()


def conditions_file(home: Home) -> Path:
    """Return where a home's conditions are."""
    return home.run / "conditions.json"


def current_conditions(home: Home) -> tuple[Condition, ...]:
    """Return the conditions as they were seen last, in the order of `ORDER`; none where nobody has ever looked.

    `Condition.is_stale` says of each whether anybody still looks.
    """
    try:
        with open_untrusted(conditions_file(home)) as file:
            stored = StoredConditions.model_validate_json(file.read(_MAX_BYTES))
    except (OSError, ValidationError):
        return ()  # there is none, or it is another version's: the next look writes it anew
    return in_order(stored.conditions)


def last_look(conditions: Iterable[Condition], now: datetime) -> tuple[datetime | None, bool]:
    """Return when somebody looked last, None for never, and whether somebody looks now, as an operator's endpoint does.

    Args:
        conditions: Of one home.
        now: When.
    """
    seen = list(conditions)
    newest = max((condition.checked_at for condition in seen), default=None)
    return newest, any(not condition.is_stale(now) for condition in seen)


def in_order(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the known ones of these conditions in their order."""
    by_name = {condition.name: condition for condition in conditions}
    return tuple(by_name[name] for name in ORDER if name in by_name)


def change_conditions(
    home: Home, change: Callable[[Mapping[str, Condition]], Mapping[str, Condition]]
) -> tuple[Condition, ...]:
    """Store what `change` makes of the conditions by their names, one process at a time, and return it.

    Raises:
        OSError: The file cannot be written, as on a full disk.
        TimeoutError: Another process keeps the lock.
    """
    path = conditions_file(home)
    make_folder(path.parent)
    with lock(path.with_suffix(".lock"), timeout_s=_LOCK_TIMEOUT_S):
        known = {condition.name: condition for condition in current_conditions(home)}
        changed = in_order(tuple(change(known).values()))
        content = StoredConditions(conditions=changed).model_dump_json().encode()
        write_atomically(path, content, durable=False)
    return changed


def without_forgotten(known: Mapping[str, Condition], probed: frozenset[str], *, now: datetime) -> dict[str, Condition]:
    """Return the conditions but those that nobody looks at any more: no probe of ours, and no other process's."""
    return {name: one for name, one in known.items() if name in probed or not one.is_stale(now)}
