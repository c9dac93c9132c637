"""The check of what jobs keep small: how much of each thing there is, and what is beyond its bound."""

from collections.abc import Iterator, Sequence

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.upkeep.growth import Growth, measure_growth


def check_growth(context: CliContext) -> Iterator[Diagnosis]:
    """Compare what grows in the home with its bounds."""
    yield from judge_sizes(tuple(measure_growth(context.settings, _usable_ledger(context))))


def _usable_ledger(context: CliContext) -> Ledger | None:
    try:
        return context.ledger if context.has_ledger else None
    except LedgerError:
        return None  # the ledger's own check says why


def judge_sizes(sizes: Sequence[Growth]) -> Iterator[Diagnosis]:
    """Yield one line about all that is within its bound, and one for each thing that is not."""
    within = [str(size) for size in sizes if not size.is_beyond and size.count]
    yield Diagnosis("growth", "ok", ", ".join(within) or "nothing has grown yet")
    for size in sizes:
        if size.is_beyond:
            yield Diagnosis("growth", "warn", f"more than there should be: {size}", size.remedy)
