"""The text of a repository's dashboard: open pull requests, tasks that wait, run and failed, what is held, boxes. Pure.

It has no times that pass by themselves, so that it is written again only when something has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.dashboards import DASHBOARD_MARK, Box, BoxAction, box_line
from squire_pipelines.publishing.escaping import code, one_line

MAX_CHARS = 60_000
"""Below GitHub's 65,536, of which it counts some characters twice."""

_MAX_TITLE = 120
_MAX_REASON = 240
_LABELS: Mapping[BoxAction, str] = {
    BoxAction.RUN: "run now",
    BoxAction.RETRY: "retry",
    BoxAction.STOP: "stop",
}


@dataclass(frozen=True, slots=True)
class DashboardItem:
    """One line of a section.

    Args:
        name: What it is about, such as `#7` or a task's id.
        title: In others' words.
        note: Where it stands, what it waits for or why it failed.
        task_id: Whose boxes it has.
        actions: The boxes.
    """

    name: str
    title: str
    note: str = ""
    task_id: str = ""
    actions: tuple[BoxAction, ...] = ()


@dataclass(frozen=True, slots=True)
class DashboardSection:
    """A heading with its items; there are `total`, of which these are the first."""

    heading: str
    items: Sequence[DashboardItem]
    total: int


def dashboard_text(
    sections: Sequence[DashboardSection],
    epoch: str,
    uses: Mapping[tuple[BoxAction, str], int],
    *,
    limit: int = MAX_CHARS,
) -> str:
    """Return the dashboard's text, of at most `limit` characters; what does not fit is counted.

    Args:
        sections: In their order; an empty one is left out.
        epoch: Of its boxes.
        uses: How often each box was ticked and acted upon.
        limit: Each section gets an equal part of it, and what those before it have left.
    """
    text = (
        f"{DASHBOARD_MARK}\nWhat Squire does here. Who may write here orders what a box says by ticking it; "
        "it is unticked once that was done. Everything else in this text is overwritten. To turn this off, "
        "close the issue.\n"
    )
    shown = [section for section in sections if section.total]
    for number, section in enumerate(shown):
        room = (limit - len(text)) // (len(shown) - number)
        text += _section(section, epoch, uses, room)
    return text if shown else f"{text}\nThere is nothing to show.\n"


def _section(section: DashboardSection, epoch: str, uses: Mapping[tuple[BoxAction, str], int], room: int) -> str:
    text, count = f"\n## {section.heading}\n\n", 0
    for item in section.items:
        lines = _item(item, epoch, uses)
        if len(text) + len(lines) + len(_more(section.total)) > room:
            break
        text, count = text + lines, count + 1
    return text + (_more(section.total - count) if count < section.total else "")


def _more(count: int) -> str:
    return f"- and {count} more: `squire tasks list`\n"


def _item(item: DashboardItem, epoch: str, uses: Mapping[tuple[BoxAction, str], int]) -> str:
    name = item.name if item.name[:1] == "#" and item.name[1:].isdecimal() else code(item.name)
    line = f"- {name} {one_line(item.title, limit=_MAX_TITLE)}"
    if item.note:
        line += f": {one_line(item.note, limit=_MAX_REASON)}"
    boxes = [
        box_line(Box(action, item.task_id, uses.get((action, item.task_id), 0)), epoch, _LABELS[action])
        for action in item.actions
    ]
    return "\n".join((line, *boxes)) + "\n"
