"""The check of what jobs keep small: how much of each thing there is, and what is beyond its bound."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import EngineError, LedgerError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.upkeep.growth import Growth, measure_growth

ENGINE_S = 5.0


def check_growth(context: CliContext) -> Iterator[Diagnosis]:
    """Compare what grows in the home with its bounds."""
    sizes = measure_growth(context.settings, _usable_ledger(context))
    yield from judge_sizes((*sizes, *_count_images()))


def _count_images() -> Iterator[Growth]:
    """Yield how many images of programs there are, where an engine answers."""
    from squire_pipelines.agents import engine, images  # noqa: PLC0415 - Docker's client

    try:
        with closing(engine.connect(deadline=Deadline.after(ENGINE_S))) as client:
            counts = Counter(image.program for image in images.list_images(client))
    except EngineError:
        return  # the engine's own check says why
    for program, count in counts.items():
        remedy = f"`squire agents build {program}` removes the oldest that no container uses"
        yield Growth(f"images of {program}", count, images.KEPT_TAGS, 0, remedy)


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
