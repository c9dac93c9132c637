"""Publishing a ledger to which things happen, step by step and at once: both must give the same warehouse."""

from pathlib import Path

from hypothesis import strategies as st

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.publish import Publication, publish_warehouse
from tests.support.changing_ledger import ChangingLedger, contents
from tests.support.ledgers import Clock, folder_in_memory, sqlite_ledger_file

OVERLAP_S = 300
MIB = 2**20
Contents = dict[str, list[tuple[object, ...]]]
HAPPENINGS = st.one_of(
    st.tuples(st.just("plan"), st.integers(1, 3)),
    st.tuples(st.just("propose"), st.just(0)),
    st.tuples(st.just("dispatch"), st.just(0)),
    st.tuples(st.just("settle"), st.integers(0, 2)),
    st.tuples(st.just("report"), st.integers(0, 5)),
    st.tuples(st.just("read"), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.integers(0, 5)),
    st.tuples(st.just("late"), st.integers(1, OVERLAP_S)),
    st.tuples(st.just("archive_one"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 60, 86400])),
    st.tuples(st.just("wait"), st.sampled_from([-1, -3600])),
    st.tuples(st.just("publish"), st.just(0)),
)


def publish_to(ledger: Ledger, path: Path, archive: Path, *, full: bool = False) -> Publication:
    return publish_warehouse(
        ledger,
        path,
        WarehouseSettings(memory_limit=256 * MIB, overlap_s=OVERLAP_S),
        wait_s=10,
        full=full,
        archive=archive,
    )


def published_as_it_happens(happened: list[tuple[str, int]]) -> tuple[Contents, Contents]:
    """Return the warehouse that was published after each change that says so, and the one that was published once."""
    clock = Clock()
    with folder_in_memory() as name:
        folder = Path(name)
        ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}", clock=clock)
        try:
            world = ChangingLedger(ledger, clock, folder / "archive")
            for action, amount in [("plan", 2), ("dispatch", 0), ("publish", 0), *happened]:
                if action == "publish":
                    publish_to(ledger, folder / "grown.duckdb", world.archive)
                else:
                    getattr(world, action)(amount)
            publish_to(ledger, folder / "grown.duckdb", world.archive)
            publish_to(ledger, folder / "new.duckdb", world.archive, full=True)
        finally:
            ledger.close()
        return contents(folder / "grown.duckdb"), contents(folder / "new.duckdb")
