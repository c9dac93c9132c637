"""What one process at a time does, on one machine and on several."""

from contextlib import suppress
from pathlib import Path

from squire_pipelines.ledger.single_flight import single_flight
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.write_turns import reserve
from tests.support.ledgers import Clock


def may_begin(ledger: Ledger, path: Path, name: str = "work") -> bool:
    with suppress(TimeoutError), single_flight(ledger, name, path):
        return True
    return False


def test_one_at_a_time_on_postgres_also_from_another_home(ledger: Ledger, database: str, tmp_path: Path) -> None:
    with suppress(LookupError), single_flight(ledger, "work", tmp_path / "one" / "lock"):
        assert not may_begin(ledger, tmp_path / "one" / "lock")
        assert may_begin(ledger, tmp_path / "two" / "lock") is (database == "sqlite")
        assert may_begin(ledger, tmp_path / "two" / "lock", "other work")
        raise LookupError
    assert may_begin(ledger, tmp_path / "two" / "lock")


def test_each_write_of_a_credential_has_a_moment_of_its_own(ledger: Ledger, clock: Clock) -> None:
    def turn(credential: str = "one") -> float:
        with ledger.write() as tx:
            return reserve(tx, credential, 1.5)

    assert [turn() for _ in range(3)] == [0, 1.5, 3]
    assert turn("two") == 0
    clock.forward(4)
    assert turn() == 0.5
    assert max(turn() for _ in range(50)) == 60, "nobody waits for longer"
    clock.forward(3600)
    assert turn() == 0
