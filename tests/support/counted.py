"""What a test's process counts, in a folder of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from squire_pipelines.metrics import counting
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.metrics.series import parse_series

Counts = Callable[[str], dict[str, float]]
"""Return what a counter has, or how many values a histogram has, by the first label."""


@contextmanager
def counted_in(folder: Path) -> Iterator[Counts]:
    """Count in a folder within the block."""
    counting.start_counting(folder)

    def read(family: str) -> dict[str, float]:
        series = {parse_series(name): value for name, value in read_all(folder).values.items()}
        values: dict[str, float] = {}
        for one, value in series.items():
            if one is not None and one.family == family and (not one.part or one.part.startswith("le=")):
                values[one.labels[0]] = values.get(one.labels[0], 0.0) + value
        return values

    try:
        yield read
    finally:
        counting.stop_counting()
