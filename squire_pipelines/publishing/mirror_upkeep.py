"""Keeps the mirrors small: git repacks and prunes those that have gathered much, and unused ones are removed.

Fetching one packs nothing by itself: `gc.auto` is off, so that no fetch waits for it. A mirror that is removed is
fetched again by whoever needs it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from squire_pipelines.errors import GitError
from squire_pipelines.files import lock, remove_tree
from squire_pipelines.home import Home
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.mirror import LAST_USED, PRUNE_AGE

_log = get_logger(Component.PUBLISHER)

MAINTENANCE_S = 300.0
"""How long git may take for one mirror: fetches of it wait meanwhile, for twice as long at the most."""

_WHEN_NEEDED = ("gc.auto=500", "gc.autoPackLimit=20", "gc.autoDetach=false", f"gc.pruneExpire={PRUNE_AGE}")
_LIMITS = GitLimits(timeout_s=MAINTENANCE_S, max_memory=None)


@dataclass(frozen=True, slots=True)
class TendedMirrors:
    """What was done: how many mirrors were removed, and looked after; `more` when the time was over before the end."""

    removed: int = 0
    maintained: int = 0
    more: bool = False


def tend_mirrors(
    home: Home, *, keep: timedelta, now: datetime, seconds: float, monotonic: Callable[[], float] = time.monotonic
) -> TendedMirrors:
    """Remove mirrors that were not fetched for `keep`, and have git maintain the others, the longest unused first.

    One that is being fetched is left for the next time.
    """
    deadline = monotonic() + seconds
    removed = maintained = 0
    for used_at, path in sorted((_last_used(path), path) for path in home.mirrors.glob("*.git")):
        if monotonic() >= deadline:
            return TendedMirrors(removed, maintained, more=True)
        try:
            with lock(path.with_suffix(".lock")):
                if used_at < (now - keep).timestamp() and _last_used(path) == used_at:
                    remove_tree(path)
                    removed += 1
                else:
                    _maintain(path, deadline - monotonic())
                    maintained += 1
        except TimeoutError:
            continue
        except (GitError, OSError) as error:
            _log.warning("publisher.mirror_not_tended", mirror=path.name, reason=str(error))
    return TendedMirrors(removed, maintained)


def unused_mirrors(home: Home, *, keep: timedelta, now: datetime) -> tuple[Path, ...]:
    """Return the mirrors that were not fetched for `keep`."""
    return tuple(path for path in sorted(home.mirrors.glob("*.git")) if _last_used(path) < (now - keep).timestamp())


def _last_used(path: Path) -> float:
    try:
        return (path / LAST_USED).stat().st_mtime
    except OSError:
        return 0.0  # what was never whole


def _maintain(path: Path, seconds: float) -> None:
    """Let git do what it thinks is due; it leaves a mirror alone that has few packs and loose objects."""
    limits = replace(_LIMITS, timeout_s=max(1.0, min(MAINTENANCE_S, seconds)))
    run_git(["maintenance", "run", "--auto", "--quiet", "--task=gc"], git_dir=path, config=_WHEN_NEEDED, limits=limits)
