"""Lists the agents that there are and the images that they run in, without loading any: settings are checked by it."""

from importlib.metadata import EntryPoint

from squire_pipelines.installed_packages import find_entry_points

GROUP = "squire.agents"
PROGRAMS = ("opencode", "claude-code", "codex", "copilot", "gemini", "pi", "qwen", "mini-swe-agent", "aider")
"""The agents whose program is known to Squire, the one in the worker image first."""
BUILT_IN = (*PROGRAMS, "command")
IN_WORKER_IMAGE = frozenset({"opencode", "command"})
"""The agents that need no image of their own, which `squire agents build` makes for the others."""

WORKER_IMAGE = "squire-worker:latest"
WITH_IMAGE = tuple(name for name in PROGRAMS if name not in IN_WORKER_IMAGE)
"""The programs that `squire agents build` makes an image of; worker-image/agents/ has how."""


def image_of(name: str) -> str:
    """Return the image of an agent where `agent.image` names none: the newest build of its own, if it has one."""
    return f"squire-worker-{name}:latest" if name in WITH_IMAGE else WORKER_IMAGE


def installed() -> dict[str, EntryPoint]:
    """Return what installed packages offer, by name. A built-in agent cannot be replaced."""
    return {point.name: point for point in find_entry_points(GROUP) if point.name not in BUILT_IN}


def names() -> tuple[str, ...]:
    """Return what `agent.kind` may be, the built-in ones first."""
    return (*BUILT_IN, *sorted(installed()))


def known(name: str) -> str:
    """Return the name itself. Raises ValueError for one that no agent has."""
    if name not in names():
        raise ValueError(
            f"there is no agent of that name; there are {', '.join(names())}, and others come with a package"
        )
    return name
