"""The one comment of ours on a pull request: its parts, each of which says one thing, and how one of them is changed.

Pure. The comment is written by `github.own_comments`; what the parts say, by `follow_words`, `merge_words`, `approval`.
"""

import re
from enum import StrEnum

COMMENT_MARK = "<!-- squire comment -->"
_PART = re.compile(r"^<!-- squire part ([a-z]{1,20}) -->[ \t\r]*$", re.MULTILINE)


class CommentPart(StrEnum):
    """What a part of the comment is about, in the order in which they stand."""

    FOLLOW = "follow"
    MERGE = "merge"
    APPROVAL = "approval"
    ENDING = "ending"
    BASE = "base"


def parts_of(body: str) -> dict[str, str]:
    """Return the parts of a comment of ours by their names."""
    pieces = _PART.split(body.replace("\r\n", "\n"))
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def with_part(body: str, part: CommentPart, text: str) -> str:
    """Return a comment with one part changed, or added, and the others as they are."""
    parts = parts_of(body) | {part.value: text.strip()}
    known = [name.value for name in CommentPart if name.value in parts]
    names = [*known, *(name for name in parts if name not in known)]
    return "\n".join((COMMENT_MARK, *(f"<!-- squire part {name} -->\n{parts[name]}\n" for name in names))).rstrip()
