"""Each command line that a message, a hint or a page names is one that can be typed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.cli.lazy import LazyGroup
from tests.support.house import PACKAGE, ROOT
from tests.support.page_commands import named_commands

QUOTED = re.compile(r"`squire ([^`]*)`")
TYPED = re.compile(r"^(?:\$ )?squire ([^\n]*)", re.MULTILINE)
FENCED = re.compile(r"^( *)```(?:sh|console)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
OLD_LINES_PAGE = "coming-from-the-old-squire.md"
TYPED_BEFORE = re.compile(r"^\| `squire [^`]*` \| ", re.MULTILINE)
OPTION = re.compile(r"--[a-z][a-z-]*")
WORD = re.compile(r"[a-z][a-z-]*")
GLOBAL = re.compile(r"^(?:(?:-v|-q|--verbose|--quiet|--debug|--(?:config|log-level) \S+)\s+)+")
QUOTES = re.compile(r"\"[^\"]*\"|'[^']*'")


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a module, with `X` where a value is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def lines_of(path: Path) -> Iterator[str]:
    """What follows `squire` in each command line that a file names."""
    if path.suffix == ".py":
        for text in texts_of(path):
            yield from QUOTED.findall(text)
        return
    page = path.read_text(encoding="utf-8")
    if path.name == OLD_LINES_PAGE:
        page = TYPED_BEFORE.sub("", page)  # tests/integration/cli/test_aliases.py types these
    yield from QUOTED.findall(FENCED.sub("", page))
    for block in FENCED.finditer(page):
        yield from TYPED.findall(block[2])


def problem(line: str) -> str | None:
    """Why a command line cannot be typed; None where it can be."""
    typed = GLOBAL.sub("", re.split(r"[|;#]|&&| > |…|\.\.\.", QUOTES.sub("X", line))[0]).split()
    path, left = named_commands(*typed)
    last = path[-1]
    if isinstance(last, LazyGroup) and left and WORD.fullmatch(left[0]) and last.name != "backup":
        return f"squire {line}: there is no {left[0]!r} of {last.name}"
    if isinstance(last, LazyGroup) and last.name == "backup":
        last = last.commands["make"]  # which needs not be named
    if getattr(last, "hidden", False) or last.context_settings.get("ignore_unknown_options"):
        return None
    options = {text for parameter in last.params for text in (*parameter.opts, *parameter.secondary_opts)}
    known = options | {"--help", "--version", "--config"}
    unknown = [
        word for word in left if OPTION.fullmatch(word.partition("=")[0]) and word.partition("=")[0] not in known
    ]
    return f"squire {line}: {last.name} has no {unknown[0]}" if unknown else None


def test_every_command_line_of_the_package_and_its_pages_exists() -> None:
    pages = (page for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts)
    places = (*PACKAGE.rglob("*.py"), *pages, ROOT / "README.md")
    lines = {line: path.relative_to(ROOT) for path in places for line in lines_of(path)}
    assert len(lines) > 300
    assert [f"{path}: {reason}" for line, path in sorted(lines.items()) if (reason := problem(line))] == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tasks show ID --json", None),
        ("--debug --config squire.toml run", None),
        ("demo --command 'ruff --fix'", None),
        ("backup /mnt/backups --no-archive", None),
        ("history query X", "squire history query X: there is no 'query' of history"),
        ("tasks show ID --jsno", "squire tasks show ID --jsno: show has no --jsno"),
        ("nothing", "squire nothing: there is no 'nothing' of squire"),
    ],
)
def test_what_cannot_be_typed_is_noticed(line: str, reason: str | None) -> None:
    assert problem(line) == reason
