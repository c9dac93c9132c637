"""Says what a program that failed seems to lack, and what to do about it, for people to read. Pure.

What it printed is the agent's word: a hint is added to a message, and no cause follows from it.
"""

import re
from collections.abc import Iterable, Iterator

from squire_pipelines.agent_names import WITH_IMAGE
from squire_pipelines.sections.agents import LimitSettings

_TERMINAL = re.compile(
    r"(?i)\bnot a (?:tty|terminal)\b|raw mode is not supported|inappropriate ioctl for device|/dev/tty\b"
    r"|\b(?:needs?|requires?) an? (?:interactive )?(?:tty|terminal)\b"
)
_IS_FULL = re.compile(r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded")
_MB = 10**6


def failure_hint(
    lines: Iterable[str],
    limits: LimitSettings,
    *,
    name: str = "",
    version: str | None = None,
    checked_version: str | None = None,
    unread_events: int = 0,
) -> str:
    """Return the hints, joined; empty when there are none.

    Args:
        lines: The last ones that it printed.
        limits: What its container had.
        name: The agent's.
        version: The program's, where it is known.
        checked_version: The one that this Squire was tried with; None where an agent has no program of ours.
        unread_events: How many of its events its adapter knew nothing of, when that is all of them.
    """
    text = "\n".join(lines)
    return "; ".join(
        _hints(text, limits, name=name, version=version, checked_version=checked_version, unread_events=unread_events)
    )


def _hints(
    text: str,
    limits: LimitSettings,
    *,
    name: str,
    version: str | None,
    checked_version: str | None,
    unread_events: int,
) -> Iterator[str]:
    if _TERMINAL.search(text):
        yield "it asks for a terminal, and there is none: start it in a way that asks nobody anything"
    if _IS_FULL.search(text):
        sizes = ", ".join(f"{part} {getattr(limits, part) / _MB:.0f} MB" for part in ("home", "workspace", "tmp"))
        yield f"it says that a disk is full: raise the one of agent.limits that it fills ({sizes})"
    if unread_events:
        yield f"none of its {unread_events} events has a form that this Squire knows"
    if other := other_version(version, checked_version):
        yield f"{other}: `{build_command(name)}`"


def other_version(version: str | None, checked_version: str | None) -> str:
    """Return that a program is of another version than the one that this Squire was tried with; empty when it is not.

    Args:
        version: What it says, such as `codex-cli 1.2.3`; None where it is not known.
        checked_version: The one that was tried; None where none was.
    """
    if version is None or checked_version is None:
        return ""
    if re.search(rf"(?<![\w.-])v?{re.escape(checked_version)}(?![\w+-]|\.\w)", version):
        return ""
    return f"it is version {version}, and this Squire was tried with {checked_version}"


def build_command(name: str) -> str:
    """Return the command that makes the image of an agent's program."""
    return f"squire agents build {name}" if name in WITH_IMAGE else "scripts/images.sh worker"
