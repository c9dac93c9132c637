"""The fenced blocks of the pages, and the command lines of `squire` in them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.main import cli
from tests.support.house import ROOT

_FENCED = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INNER = re.compile(r"\$\((squire [^)]*)\)")
_ENDS = re.compile(r"[|&;]+")
SHELL = ("sh", "console")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page: its language, its text, and the line on which it begins."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class TypedCommand:
    """A command line of `squire`.

    Args:
        words: What follows `squire`.
        stdin: The file that standard input comes from; `-` for another program's output.
        refusal: What the page says that it ends with, where it is one that fails.
        place: Page and line.
    """

    words: tuple[str, ...]
    stdin: str | None
    refusal: str | None
    place: str


def pages() -> Iterator[Path]:
    """Yield what people read: the README, the guides and the references."""
    yield ROOT / "README.md"
    yield from sorted(page for page in (ROOT / "docs").rglob("*.md") if not {"decisions", "examples"} & set(page.parts))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCED.finditer(text):
        indent, language, body = match.groups()
        lines = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        yield Block(page, text[: match.start()].count("\n") + 2, language, lines)


def commands(block: Block) -> Iterator[TypedCommand]:
    """Yield the command lines of a block; those of other programs, and what a program has written, are passed over."""
    lines = block.text.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        place = f"{block.page.relative_to(ROOT)}:{block.line + number}"
        following = lines[number + 1] if number + 1 < len(lines) else ""
        refusal = following.removeprefix("error: ") if following.startswith("error: ") else None
        if "[OPTIONS]" not in line:
            yield from _of_line(line.removeprefix("$ "), refusal, place)


def _of_line(line: str, refusal: str | None, place: str) -> Iterator[TypedCommand]:
    for inner in _INNER.findall(line):
        yield from _of_line(inner, None, place)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # text of people, or a line that goes on
        return
    piped, part = False, list[str]()
    for token in [*tokens, ";"]:
        if not _ENDS.fullmatch(token):
            part.append(token)
            continue
        if (command := _typed(part, refusal, place, is_piped=piped)) is not None:
            yield command
        piped, part = token == "|", []


def _typed(part: Sequence[str], refusal: str | None, place: str, *, is_piped: bool) -> TypedCommand | None:
    words = list(part)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    if not words or Path(words[0]).name != "squire":
        return None
    stdin = "-" if is_piped else None
    kept = list[str]()
    rest = iter(words[1:])
    for word in rest:
        if word in {"<", ">"}:
            file = next(rest, "")
            stdin = file if word == "<" else stdin
        else:
            kept.append(word)
    return TypedCommand(tuple(kept), stdin, refusal, place)


def named_commands(*words: str) -> tuple[list[click.Command], list[str]]:
    """The commands that the words go through, and the words that are left."""
    path, left = [cli], list(words)
    while left and isinstance(group := path[-1], LazyGroup):
        command = group.get_command(click.Context(group), left[0])
        if command is None:
            break
        path.append(command)  # type: ignore[arg-type] # a group's commands are commands
        left.pop(0)
    return list(path), left


def without_program_options(words: Sequence[str]) -> list[str]:
    """Return a command line from its first command on: options of the program itself have a value on all pages."""
    rest = list(words)
    while rest and rest[0].startswith("--"):
        del rest[:2]
    return rest


def parse(words: Sequence[str]) -> None:
    """Have the command's own parser take the words, and run nothing. Raises click's errors."""
    rest = without_program_options(words)
    path, left = named_commands(*rest)
    path[-1].make_context(" ".join(rest[: len(path) - 1]), left)
