"""A bar on standard error for work in several parts, where somebody looks at it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def labelled_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show how far the work is; what is yielded takes the part's name, how much of it is done and how much there is."""
    with click.progressbar(length=1, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def update(label: str, done: int, total: int) -> None:
            if bar.label != label:  # the next part of the work begins
                bar.label, bar.pos, bar.finished = label, 0, False
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield update
