"""Says what a repository is made of by its list of files: its languages, and its folders a line each. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from squire_pipelines.domain.repository_facts import LanguageShare

MAX_LANGUAGES = 8
MAX_FOLDERS = 150
MAX_NAMES = 20
"""Of files that are named in one folder; the others are counted."""

_MAX_LINE_CHARS = 400
_MAX_NAME_CHARS = 80

_FOREIGN = frozenset({"node_modules", "vendor", "third_party", "dist", "build", ".git", "__snapshots__", "testdata"})
"""Folders of what others wrote or programs made: it is not what the repository is written in."""

_EXTENSIONS: Mapping[str, str] = {
    **dict.fromkeys((".py", ".pyi"), "Python"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "JavaScript"),
    **dict.fromkeys((".ts", ".tsx", ".mts"), "TypeScript"),
    **dict.fromkeys((".c", ".h"), "C"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".hpp", ".hh"), "C++"),
    **dict.fromkeys((".kt", ".kts"), "Kotlin"),
    **dict.fromkeys((".sh", ".bash"), "Shell"),
    **dict.fromkeys((".html", ".htm"), "HTML"),
    **dict.fromkeys((".css", ".scss", ".less"), "CSS"),
    **dict.fromkeys((".ex", ".exs"), "Elixir"),
    **dict.fromkeys((".tf", ".hcl"), "HCL"),
    ".rs": "Rust",
    ".go": "Go",
    ".java": "Java",
    ".rb": "Ruby",
    ".php": "PHP",
    ".cs": "C#",
    ".swift": "Swift",
    ".scala": "Scala",
    ".m": "Objective-C",
    ".dart": "Dart",
    ".lua": "Lua",
    ".r": "R",
    ".jl": "Julia",
    ".hs": "Haskell",
    ".zig": "Zig",
    ".vue": "Vue",
    ".svelte": "Svelte",
    ".sql": "SQL",
    ".ipynb": "Jupyter Notebook",
}


def languages_of(files: Iterable[tuple[str, int]]) -> tuple[LanguageShare, ...]:
    """Return the languages by their share of bytes, the largest first.

    Args:
        files: Path and size in bytes of each.
    """
    sizes: Counter[str] = Counter()
    for path, size in files:
        pure = PurePosixPath(path)
        language = _EXTENSIONS.get(pure.suffix.lower())
        if language is not None and _FOREIGN.isdisjoint(pure.parts):
            sizes[language] += size
    total = sum(sizes.values())
    return tuple(
        LanguageShare(name=name, share=size / total) for name, size in sizes.most_common(MAX_LANGUAGES) if size > 0
    )


def folder_lines(paths: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each folder with its files; those near the root first, so that a cut leaves out deep ones.

    Of a folder with more than `MAX_NAMES` files, the others are counted; so are all files of what others wrote.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        parts = folder.split("/") if folder else []
        foreign = next((place for place, part in enumerate(parts) if part in _FOREIGN), None)
        files[folder if foreign is None else "/".join(parts[: foreign + 1])].append("" if foreign is not None else name)
    ordered = sorted(files, key=lambda folder: (folder.count("/") + bool(folder), folder))
    lines = [_line(folder, sorted(files[folder])) for folder in ordered[:MAX_FOLDERS]]
    more = len(ordered) - len(lines)
    return (*lines, *([f"… {more} more folders"] if more else ()))


def _line(folder: str, names: Sequence[str]) -> str:
    shown = [name[:_MAX_NAME_CHARS] for name in names if name][:MAX_NAMES]
    more = len(names) - len(shown)
    counted = [f"… {more} more" if shown else f"{more} files"] if more else []
    return f"{folder or '.'}/: {', '.join([*shown, *counted])}"[:_MAX_LINE_CHARS]
