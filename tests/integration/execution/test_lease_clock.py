"""Leases while the ledger's clock is set: whoever lives is left alone, and whoever has died is noticed all the same."""

from pathlib import Path

import pytest

from squire_pipelines.domain.launching import LaunchStage, LaunchState, ProcessorLoad
from squire_pipelines.execution.lease_clock import LeaseClock
from squire_pipelines.execution.recovery import find_abandoned
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import Clock, start_attempt, token_of

QUIET = ProcessorLoad(2, 0.1)
STARTED = LaunchState(LaunchStage.STARTED)


class Looks:
    """Looks for abandoned attempts, by two clocks."""

    def __init__(self, ledger: Ledger, clock: Clock, run: Path) -> None:
        self.ledger = ledger
        self.clock = clock
        self.seconds = 0.0
        self.run = run

    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.seconds += seconds

    def look(self) -> list[str]:
        """Return what is abandoned; each look is another process's."""
        clock = LeaseClock(self.run, 60, monotonic=lambda: self.seconds)
        abandoned = find_abandoned(self.ledger, Settings(), {}, lambda _: STARTED, load=QUIET, clock=clock)
        return [item.attempt.id for item in abandoned]

    def beat(self, attempt: Attempt) -> None:
        with self.ledger.write() as tx:
            attempts.heartbeat(tx, attempt.id, token_of(attempt), lease_s=60)


@pytest.fixture
def looks(ledger: Ledger, clock: Clock, tmp_path: Path) -> Looks:
    return Looks(ledger, clock, tmp_path / "run")


@pytest.mark.parametrize("jump_s", [3600, 90, -3600])
def test_a_living_attempt_outlives_a_clock_that_jumps_and_a_dead_one_is_noticed_a_lease_later(
    looks: Looks, jump_s: float
) -> None:
    living, dead = start_attempt(looks.ledger), start_attempt(looks.ledger)
    assert looks.look() == []
    looks.wait(10)
    looks.clock.forward(jump_s)
    assert looks.look() == []
    looks.wait(10)
    looks.beat(living)
    for _ in range(2):
        looks.wait(20)
        looks.beat(living)
        assert looks.look() == []
    looks.wait(15)
    assert looks.look() == [dead.id]


def test_an_attempt_whose_lease_ran_out_by_an_even_clock_is_abandoned_at_once(looks: Looks) -> None:
    attempt = start_attempt(looks.ledger)
    looks.wait(55)
    assert looks.look() == []
    looks.wait(6)
    assert looks.look() == [attempt.id]


@pytest.mark.parametrize("content", ["{", "[]", '{"difference_s": 1e999, "seen_at_s": 0, "jumped_at_s": null}'])
def test_a_file_that_says_nothing_is_written_anew(looks: Looks, content: str) -> None:
    looks.run.mkdir()
    (looks.run / "lease-clock.json").write_text(content)
    attempt = start_attempt(looks.ledger)
    looks.wait(61)
    assert looks.look() == [attempt.id]
    looks.clock.forward(3600)
    assert looks.look() == []
