"""How a repository writes the first lines of its commits, read from its history: types, scopes, areas. Pure.

A title without such a beginning gets the one that the history has for the same files.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

CONVENTIONAL_TYPES: Mapping[str, str] = MappingProxyType(
    {"fix_ci": "fix", "address_review": "fix", "resolve_issue": "fix"}
)
"""The type of Conventional Commits by the kind of a task; `chore` for any other.

https://www.conventionalcommits.org/en/v1.0.0/
"""

_CHORE = "chore"
_LEAST_COMMITS = 5
_SHARE = 0.6
"""Of the commits, from which on they have a convention."""

_LOWER_SHARE = 0.8
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("fix", "bug", "bugfix", "hotfix"), "fix"),
        **dict.fromkeys(("chore", "maint", "mnt", "misc"), _CHORE),
        **dict.fromkeys(
            ("build", "ci", "dep", "deps", "doc", "docs", "enh", "feat", "feature", "perf", "ref", "refactor", "rel"),
            "",
        ),
        **dict.fromkeys(("release", "revert", "sty", "style", "test", "tests", "tst"), ""),
    }
)
"""Words that say what kind of change a commit is, and which of our two types they are, if any."""

_TYPED = re.compile(r"(?P<type>[A-Za-z]{2,12})(?:\((?P<scope>[\w./,-]{1,40})\))?!?: (?P<rest>\S.*)")
_AREA = re.compile(r"(?P<area>\[[\w./-]{1,30}\]|[a-z_.][\w./-]{0,40}:) (?P<rest>\S.*)", re.ASCII)
_HAS_TYPE = re.compile(r"[a-z]{2,12}(?:\([^()\n]{1,40}\))?!?: \S")
_ROBOT = re.compile(r"\[bot\]$|^(?:dependabot|renovate|github-actions|pre-commit-ci|squire)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A commit of a repository's history: whose, its first line, and the paths that it changed."""

    author: str
    title: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TitleStyle:
    """How a title begins.

    Args:
        types: How the history spells the types `fix` and `chore`; None where titles begin with no type.
        scope: Stands in parentheses after the type; empty for none.
        area: Stands before the title where there is no type, with its own signs: `[api]`, `net/http:`.
        is_lower: Whether the word after it begins with a small letter.
    """

    types: Mapping[str, str] | None = None
    scope: str = ""
    area: str = ""
    is_lower: bool = False


PLAIN_TITLES = TitleStyle()
CONVENTIONAL_TITLES = TitleStyle({"fix": "fix", _CHORE: _CHORE})


def styled_title(title: str, kind: str, style: TitleStyle) -> str:
    """Return a title as the style has it; `kind` is that of the task. One that has a type already stays as it is."""
    if style.types is not None:
        if _HAS_TYPE.match(title) or _typed(title):
            return title
        name = CONVENTIONAL_TYPES.get(kind, _CHORE)
        scope = f"({style.scope})" if style.scope else ""
        return f"{style.types.get(name, name)}{scope}: {_lowered(title) if style.is_lower else title}"
    if not style.area or title.startswith(style.area):
        return title
    return f"{style.area} {_lowered(title) if style.is_lower else title}"


def title_style(history: Iterable[PastCommit], changed: Iterable[str]) -> TitleStyle:
    """Return how most of a history's titles by people begin, and those of the commits that changed the same files.

    Fewer than five commits say nothing, nor does what less than six in ten of them have: then titles are plain.

    Args:
        history: Newest first, without merges.
        changed: The paths that the change touches.
    """
    commits = [commit for commit in history if not _ROBOT.search(commit.author)]
    if len(commits) < _LEAST_COMMITS:
        return PLAIN_TITLES
    near = _near(commits, frozenset(changed))
    typed = [(commit, match) for commit in commits if (match := _typed(commit.title)) is not None]
    if len(typed) >= _SHARE * len(commits):
        scopes = [match["scope"] for _, match in typed if match["scope"]]
        has_scopes = len(scopes) >= _SHARE * len(typed)
        close = [match["scope"] for commit, match in typed if commit in near and match["scope"]]
        scope = _usual(close, len([commit for commit, _ in typed if commit in near])) if has_scopes else ""
        return TitleStyle(_spellings(match["type"] for _, match in typed), scope, is_lower=_are_lower(typed))
    in_areas = [(commit, match) for commit in commits if (match := _AREA.match(commit.title)) is not None]
    if len(in_areas) >= _SHARE * len(commits):
        area = _usual([match["area"] for commit, match in in_areas if commit in near], len(near))
        return TitleStyle(area=area, is_lower=bool(area) and _are_lower(in_areas))
    return PLAIN_TITLES


def _typed(title: str) -> re.Match[str] | None:
    match = _TYPED.match(title)
    return match if match is not None and match["type"].lower() in _WORDS else None


def _spellings(types: Iterable[str]) -> Mapping[str, str]:
    """Return how a history spells our types: `BUG` for `fix`, say; as Conventional Commits do where it has none."""
    counts = Counter(types)
    spelled = {"fix": "fix", _CHORE: _CHORE}
    if sum(count for word, count in counts.items() if word.isupper()) * 2 > counts.total():
        spelled = {name: word.upper() for name, word in spelled.items()}
    for word, _ in reversed(counts.most_common()):
        if name := _WORDS[word.lower()]:
            spelled[name] = word
    return spelled


def _near(commits: Sequence[PastCommit], changed: frozenset[str]) -> list[PastCommit]:
    """Return the commits that changed one of the files; without any, those that changed files beside them."""
    same = [commit for commit in commits if changed.intersection(commit.paths)]
    if same:
        return same
    folders = {path.rpartition("/")[0] for path in changed}
    return [commit for commit in commits if any(path.rpartition("/")[0] in folders for path in commit.paths)]


def _usual(beginnings: Sequence[str], total: int) -> str:
    """Return what at least half of `total` commits have, and no fewer than two; empty when there is no such."""
    word, count = next(iter(Counter(beginnings).most_common(1)), ("", 0))
    return word if count > 1 and count * 2 >= total else ""


def _are_lower(titles: Sequence[tuple[PastCommit, re.Match[str]]]) -> bool:
    small: list[bool] = [match["rest"][:1].islower() for _, match in titles]
    return sum(small) >= _LOWER_SHARE * len(titles)


def _lowered(title: str) -> str:
    """Return a title with a small first letter, unless its first word is a name: `README`, `OAuth`, `I`."""
    first = title.partition(" ")[0]
    is_name = len(first) < 2 or any(sign.isupper() for sign in first[1:])  # noqa: PLR2004 - one letter
    return title if is_name else title[0].lower() + title[1:]
