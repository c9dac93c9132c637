"""Lists the sources of signals that there are beside GitHub's, and readers of other senders, without loading any.

Settings name them.
"""

from importlib.metadata import EntryPoint

from squire_pipelines.domain.signals import HOOKS_SOURCE, MANUAL_SOURCE, Source
from squire_pipelines.installed_packages import find_entry_points

GROUP = "squire.signals"
HOOK_GROUP = "squire.hooks"
_OURS = frozenset({*(source.value for source in Source), MANUAL_SOURCE, HOOKS_SOURCE, "summary"})
SHIPPED_HOOKS = {
    name: EntryPoint(name, f"squire_pipelines.sources.{target}", HOOK_GROUP)
    for name, target in {"generic": "generic_hook:GenericHook", "sentry": "sentry_hook:SentryHook"}.items()
}
"""The readers that come with Squire."""


def installed() -> dict[str, EntryPoint]:
    """Return what installed packages offer, by name. None can take the place of one of ours."""
    return {point.name: point for point in find_entry_points(GROUP) if point.name not in _OURS}


def further_sources() -> tuple[str, ...]:
    """Return the names of all sources that are asked beside GitHub: task files first."""
    return (MANUAL_SOURCE, *sorted(installed()))


def known_source(name: str) -> str:
    """Return the name itself. Raises ValueError for one that no installed source has."""
    if name not in installed():
        names = ", ".join(sorted(installed())) or "none is installed"
        raise ValueError(f"no installed package has a source {name!r}; there are: {names}")
    return name


def hook_readers() -> dict[str, EntryPoint]:
    """Return the readers of other senders by name, those that come with Squire first; none can take their place."""
    others = {point.name: point for point in find_entry_points(HOOK_GROUP) if point.name not in SHIPPED_HOOKS}
    return {**SHIPPED_HOOKS, **dict(sorted(others.items()))}


def package_of(name: str) -> str:
    """Return a sentence about where a source comes from."""
    point = installed().get(name)
    package = f"{point.dist.name} {point.dist.version}" if point is not None and point.dist is not None else "a package"
    return f"What the source {name} of {package} has seen."
