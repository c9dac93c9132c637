"""Every life of a pull request of ours, in every way that news of it come, with our processes killed: `make soak`.

`SQUIRE_SOAK_KILLS` is `some` (each process once, at random), or `each` (at each of its moments, some two hundred times
a life). `SQUIRE_SOAK_SEED` repeats a sequence.
"""

import os
import random
from collections.abc import Iterator

import pytest

from tests.support.life_scripts import LIVES
from tests.support.lives import Kills, Lives, News

KILLS = Kills(os.environ.get("SQUIRE_SOAK_KILLS", "each"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    made = Lives(tmp_path_factory.mktemp("lives"))
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("news", News)
@pytest.mark.parametrize("name", LIVES)
def test_a_life_ends_as_it_must_wherever_we_are_killed(lives: Lives, name: str, news: News) -> None:
    verdict = lives.live(name, news, KILLS, seed=SEED)
    assert verdict.problems == (), f"seed {SEED}, {verdict.kills} kills"
