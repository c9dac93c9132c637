"""The claims of the documents: sentences of docs/security.md that promise something, the promises, and their tests."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Words with which a sentence says that something cannot happen or has an end.
_CLAIM = re.compile(
    r"\b(?:stops|never|bounds?|bounded|only|cannot|refuses|refused|denies|denied|nothing|limits|no|harmless)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`*])")
_ROW_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*])")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split(" | ")]


def sentences(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each sentence of a page and whether it is a claim; cells under a heading such as "stops" are claims."""
    for block in re.split(r"\n\s*\n|\n(?=- )", text):
        if block.lstrip().startswith("|"):
            heads, _, *rows = block.strip().splitlines()
            for row in rows:
                for head, cell in zip(_cells(heads), _cells(row), strict=True):
                    if head in {"stops", "bound"}:
                        yield cell, True
                    elif head != "does not stop":
                        yield from ((part, bool(_CLAIM.search(part))) for part in _ROW_END.split(cell))
        elif not block.lstrip().startswith(("#", "```")):
            line = " ".join(block.split()).removeprefix("- ")
            yield from ((part, bool(_CLAIM.search(part))) for part in _SENTENCE_END.split(line))


def promises(text: str) -> list[str]:
    """Return the numbered promises of the architecture page."""
    section = text.partition("\n## Promises\n")[2].partition("\n## ")[0]
    return [" ".join(item.split()) for item in re.split(r"\n\d+\. ", section)[1:]]


def tested(text: str, heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a section's table by their first cell, such as a claim's beginning: what the last names."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [_cells(line) for line in section.splitlines() if line.startswith("|")][2:]
    return {first: tuple(re.findall(r"`([^`]+\.py::\w+)`", names)) or (names,) for first, *_, names in rows}


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def is_test(name: str) -> bool:
    """Return whether `path::function`, from the folder of the tests, is one."""
    path, _, function = name.partition("::")
    file = ROOT / "tests" / path
    return file.is_file() and function in _functions(file)
