"""Commands that people write into comments on GitHub: `/squire do TEXT`, `/squire approve` and others. Pure.

Who may give one is `authority`'s to judge, and what it does is its reader's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.terminal_text import plain

MAX_COMMENT_CHARS = 65_536
"""Characters that a comment has at most on GitHub; of a longer one no command is read."""

MAX_COMMANDS = 10
"""How many commands of one comment are read; those after them are passed over."""

MAX_ARGUMENT_CHARS = 500
"""Characters that are kept of what follows a command other than `do`."""


class CommandName(StrEnum):
    """What a person may ask for in a comment."""

    DO = "do"
    APPROVE = "approve"
    REJECT = "reject"
    RETRY = "retry"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class CommentCommand:
    """One command of a comment.

    Args:
        name: What is asked for.
        text: Of `do`, the order: the rest of the line and what follows until the next command, without quoted lines.
            Of others the rest of the line, such as a task's id or a reason. May be empty.
    """

    name: CommandName
    text: str = ""


_COMMAND = re.compile(rf" {{0,3}}/squire[ \t]+({'|'.join(CommandName)})(?![^\s])[ \t]*(.*)", re.IGNORECASE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_QUOTE = re.compile(r" {0,3}>")
_HIDDEN_START, _HIDDEN_END = "<!--", "-->"


def parse_commands(comment: str) -> tuple[CommentCommand, ...]:
    """Return the commands of a comment, in their order; none where it has none.

    A command begins a line, and its case does not matter. Nothing is a command in a quoted line (somebody else's
    words), in a block of code or in an HTML comment, which readers do not see.
    """
    if len(comment) > MAX_COMMENT_CHARS:
        return ()
    commands: list[tuple[CommandName, list[str]]] = []
    for line, may_command in _lines(plain(comment.replace("\r\n", "\n").replace("\r", "\n"))):
        match = _COMMAND.fullmatch(line) if may_command else None
        if match is not None:
            if len(commands) == MAX_COMMANDS:
                break
            commands.append((CommandName(match[1].lower()), [match[2]]))
        elif commands and commands[-1][0] is CommandName.DO:
            commands[-1][1].append(line)
    return tuple(
        CommentCommand(name, text if name is CommandName.DO else text[:MAX_ARGUMENT_CHARS])
        for name, lines in commands
        for text in ["\n".join(lines).strip()]
    )


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines that are the author's own, each with whether a command may stand in it."""
    fence = ""
    hidden = False
    for line in text.split("\n"):
        if fence:
            match = _FENCE.fullmatch(line)
            if match is not None and match[1].startswith(fence) and not match[2].strip():
                fence = ""
            yield line, False
        elif hidden:
            hidden = _HIDDEN_END not in line or line.rfind(_HIDDEN_START) > line.rfind(_HIDDEN_END)
            yield line, False
        elif _QUOTE.match(line):
            continue
        elif (match := _FENCE.fullmatch(line)) is not None and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
            yield line, False
        else:
            hidden = line.rfind(_HIDDEN_START) > line.rfind(_HIDDEN_END)
            yield line, True
