"""The names that a repository's symbolic links give to its files: a file behind a link is what the link is. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from squire_pipelines.domain.names import MAX_PATH_LENGTH, leads_to, prefixes

MAX_NAMES = 1000
"""Names that are looked for of one file; no ordinary file has a tenth of it."""


class TooManyNamesError(Exception):
    """A file has more names than are looked for."""


class Links:
    """The symbolic links of one tree.

    Args:
        links: Path and target of each.
        tree: The paths of all files.
    """

    def __init__(self, links: Sequence[tuple[str, str]] = (), tree: Sequence[str] = ()) -> None:
        self._tree = tree
        self._goals = {link: leads_to(link, target) for link, target in links}
        self._leading_to: dict[str, list[str]] = defaultdict(list)
        for link, goal in self._goals.items():
            self._leading_to[goal].append(link)

    def names_of(self, path: str) -> Iterator[str]:
        """Yield the further names of a path, through one link or several. Raises TooManyNamesError."""
        # A link that leads to a folder above it would give names without end: each counts once.
        waiting: list[tuple[str, frozenset[str]]] = [(path, frozenset())]
        known = {path}
        for reached, passed in waiting:
            for goal in (*prefixes(reached), "."):
                rest = f"/{reached}" if goal == "." else reached[len(goal) :]
                for link in self._leading_to.get(goal, ()):
                    name = link + rest
                    if link in passed or name in known or len(name) > MAX_PATH_LENGTH:
                        continue
                    if len(known) > MAX_NAMES:
                        raise TooManyNamesError
                    known.add(name)
                    waiting.append((name, passed | {link}))
                    yield name

    def names_given_by(self, link: str) -> Iterator[str]:
        """Yield the names that files of the tree have through a link. Raises TooManyNamesError."""
        goal = self._goals.get(link)
        if goal is None:
            return
        for path in self._tree:
            if goal not in {".", path} and not path.startswith(f"{goal}/"):
                continue
            name = link + (f"/{path}" if goal == "." else path[len(goal) :])
            yield name
            yield from self.names_of(name)
