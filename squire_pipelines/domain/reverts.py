"""What takes a merged change back: the words of a pull request and of a commit, and whether they still hold. Pure.

GitHub's button "Revert" writes `Reverts owner/name#7` as a pull request's first paragraph, titles it `Revert "..."` and
calls its branch `revert-7-...`; git writes `This reverts commit SHA.` into a commit's message.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_REVERTED_PULLS = 20
"""So many pull requests that one names as taken back are read."""

_REVERTED_COMMIT = re.compile(r"^This reverts commit (?P<sha>[0-9a-f]{40})\b", re.MULTILINE)
_REVERTS = re.compile(r" {0,3}Reverts (?P<repository>[\w.-]+/[\w.-]+)?#(?P<number>\d{1,9})[.!]?\s*")
_REVERT_TITLE = re.compile(r"revert\b", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"<!--.*?(?:-->|\Z)|<(pre|code|blockquote)\b.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
_QUOTE = re.compile(r" {0,3}>")


@dataclass(frozen=True, slots=True)
class PullWords:
    """A pull request's own words: its title, its text and the name of its branch."""

    title: str
    body: str
    head_ref: str


def reverted_pulls(words: PullWords, repository: str) -> tuple[int, ...]:
    """Return the numbers of the pull requests of the same repository that one takes back by its own words.

    A line of its text has to say so and nothing else; a quotation, code and a comment of HTML say nothing. And more has
    to speak for it: the line is the first one, or the title or the branch is as GitHub's button names it.
    """
    numbers: list[int] = []
    for place, line in enumerate(own_lines(words.body)):
        match = _REVERTS.fullmatch(line)
        if match is None or (match["repository"] or repository).lower() != repository.lower():
            continue
        number = int(match["number"])
        is_named_so = _REVERT_TITLE.match(words.title.lstrip()) or words.head_ref.startswith(f"revert-{number}-")
        if (place == 0 or is_named_so) and number not in numbers:
            numbers.append(number)
    return tuple(numbers[:MAX_REVERTED_PULLS])


def own_lines(markdown: str) -> Iterator[str]:
    """Yield the lines of a text that its author says in their own words, without empty ones."""
    fence, is_quoted = "", False
    for line in _NOT_SHOWN.sub("", markdown).splitlines():
        opened = _FENCE.match(line)
        if fence:
            if opened and opened["fence"].startswith(fence) and not line[opened.end() :].strip():
                fence = ""
        elif opened:
            fence = opened["fence"]
        elif not line.strip():
            is_quoted = False
        elif _QUOTE.match(line):
            is_quoted = True  # to the next empty line: Markdown lets the sign be left out from the second line on
        elif not is_quoted and not line.startswith(("    ", "\t")):
            yield line


def commits_reverted_in(message: str) -> tuple[str, ...]:
    """Return the commits that a commit says it takes back, in the words that git writes."""
    return tuple(match["sha"] for match in _REVERTED_COMMIT.finditer(message))


@dataclass(frozen=True, slots=True)
class BaseReverts:
    """What the commits of a base branch say that they take back.

    Args:
        effective: The commits that are taken back, each with the commit that does it.
        undone: The commits that were taken back by one that was taken back itself, and by no other.
    """

    effective: Mapping[str, str]
    undone: frozenset[str] = frozenset()


def read_base_reverts(messages: Iterable[tuple[str, str]]) -> BaseReverts:
    """Return what commits take back; what a commit takes back that was taken back itself is not.

    Args:
        messages: Commits of a branch with their messages, newest first.
    """
    effective: dict[str, str] = {}
    named: set[str] = set()
    for sha, message in messages:
        commits = commits_reverted_in(message)
        named.update(commits)
        if sha not in effective:
            effective.update(dict.fromkeys(commits, sha))
    return BaseReverts(effective, frozenset(named - effective.keys()))


def reverting_commit(ways: Sequence[Collection[str]], reverts: BaseReverts) -> str | None:
    """Return the commit that takes a merge back, the last of several; None where it is not taken back as a whole.

    Args:
        ways: Sets of commits; the merge is taken back where each commit of one set is. A merge commit by itself or all
            that it brought, a squashed commit, or the commits of a rebased series, oldest first.
        reverts: What the base's commits take back.
    """
    for commits in ways:
        if commits and all(commit in reverts.effective for commit in commits):
            return reverts.effective[next(iter(commits))]
    return None


def is_restored(ways: Sequence[Collection[str]], reverts: BaseReverts) -> bool:
    """Return whether a merge was taken back, and that was taken back itself."""
    if reverting_commit(ways, reverts) is not None:
        return False
    named = reverts.undone | reverts.effective.keys()
    return any(commits and named.issuperset(commits) for commits in ways)
