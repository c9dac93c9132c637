"""The boxes of a repository's dashboard: how they stand in an issue's text, and which were ticked, by whom. Pure.

GitHub keeps each version of the text with its editor. So a tick is found there although our next rewriting of the text
may have taken it away before anybody saw it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from squire_pipelines.domain.authority import Author

DASHBOARD_MARK = "<!-- squire dashboard -->"
"""In the text of each dashboard. Anybody may write it, so that GitHub has to say whose text it is."""

_MAX_BOXES = 500
_BOX = re.compile(
    r"^[ \t]{0,12}[-*+] \[(?P<tick>[ xX])\] .{0,400}?<!-- squire box (?P<epoch>[0-9a-f]{8,32}) (?P<action>[a-z]{2,10}) "
    r"(?P<task>[a-z0-9]{1,32}) (?P<use>\d{1,6}) -->[ \t\r]*$",
    re.MULTILINE,
)


class BoxAction(StrEnum):
    """What is done once a box is ticked."""

    RUN = "run"
    RETRY = "retry"
    STOP = "stop"


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """One box: what it does to which task. `use` counts how often that was ticked before, so that each tick is one."""

    action: BoxAction
    task_id: str
    use: int


@dataclass(frozen=True, slots=True)
class TextVersion:
    """A version of the dashboard's text; `text` is None where somebody deleted it from the history."""

    text: str | None
    editor: Author | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Tick:
    """A box that somebody ticked, and when; `by` is None where GitHub does not say who."""

    box: Box
    by: Author | None
    at: datetime


def box_line(box: Box, epoch: str, label: str) -> str:
    """Return the line of a box that nobody has ticked. The label is our own text, on one line."""
    return f"  - [ ] {label} <!-- squire box {epoch} {box.action} {box.task_id} {box.use} -->"


def read_boxes(text: str, epoch: str) -> Mapping[Box, bool]:
    """Return the boxes of a text and whether they are ticked; those of another epoch are none of ours.

    A box that is there twice is ticked where one of the two is.
    """
    boxes: dict[Box, bool] = {}
    for match in _BOX.finditer(text):
        if match["epoch"] == epoch and match["action"] in {*BoxAction} and len(boxes) < _MAX_BOXES:
            box = Box(BoxAction(match["action"]), match["task"], int(match["use"]))
            boxes[box] = boxes.get(box, False) or match["tick"] != " "
    return boxes


def has_tick(text: str) -> bool:
    """Return whether any box of a dashboard is ticked, of whatever epoch."""
    return any(match["tick"] != " " for match in _BOX.finditer(text))


def find_ticks(
    versions: Sequence[TextVersion], epoch: str, *, ours: str | None, done: Collection[Box] = ()
) -> Mapping[Box, tuple[Tick, ...]]:
    """Return the ticks that stand by their boxes, each oldest first, without boxes that were acted upon.

    Who ticked a box is the editor of the version in which it is ticked and was not before. What somebody unticks again
    is taken back. Our own versions have no ticks, and take none back: they untick what we have read, and what came
    meanwhile, which still counts. Versions of one second have no order, and take none back.

    Args:
        versions: Of the text, in any order.
        epoch: Of the boxes that count.
        ours: The login of our account; None where GitHub does not say.
        done: The boxes that were acted upon.
    """
    ticks: dict[Box, tuple[Tick, ...]] = {}
    before: TextVersion | None = None
    ticked_before: set[Box] = set()
    for version in sorted(versions, key=lambda version: version.at):
        boxes = read_boxes(version.text or "", epoch)
        is_known = before is None or before.text is not None
        for box in (box for box, ticked in boxes.items() if ticked and box not in ticked_before):
            tick = Tick(box, version.editor if is_known else None, version.at)
            ticks[box] = (*ticks.get(box, ()), tick)
        if before is not None and before.at < version.at and not _may_be_ours(version.editor, ours):
            for box in ticked_before:
                if boxes.get(box) is False:
                    ticks.pop(box, None)
        before, ticked_before = version, {box for box, ticked in boxes.items() if ticked}
    return {box: ticks[box] for box in sorted(ticks, key=lambda box: (ticks[box][0].at, box)) if box not in done}


def _may_be_ours(editor: Author | None, ours: str | None) -> bool:
    return ours is None or editor is None or editor.login.casefold() == ours.casefold()
