"""Following pull requests of ours: what goes wrong in their lives, how long a mending waits, what it costs.

`make bench-follow`. Each life of `tests/support/life_scripts.py` is lived once for each way that news of it come, with
each process of ours killed once, at a moment by chance: before or after a write of the ledger or a request. The forge
and Squire's own ops run in this process, without Dagster's; a scripted agent takes no time. `SQUIRE_BENCH_NEWS` names
the ways (`delivered,asked_for,doubled,reversed,late`), `SQUIRE_BENCH_SEED` other moments. What goes wrong is printed.

The wait is from a failed check to the head that mends it, by the forge's clock, without the time that checks settle.
Dagster's daemon is played by the rules of the sensors, see `tests/support/life_pace.py`.

The points are those of the job `follow` in an hour with 100 open pull requests in 20 repositories; readings of signals,
which a delivery also asks for, are not among them.
"""

import logging
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx
import stamina

from squire_pipelines.domain.following import FollowRules
from tests.support.figures import Figure, percentile, report
from tests.support.life_pace import seconds_to_mend
from tests.support.life_points import PULLS, CountingTransport, FollowedHour
from tests.support.life_scripts import LIVES
from tests.support.lives import Kills, Lives, News, Wrong

NEWS = tuple(News(name) for name in os.environ.get("SQUIRE_BENCH_NEWS", ",".join(News)).split(","))
SEED = int(os.environ.get("SQUIRE_BENCH_SEED", "0"))
TRIES = 20


def live_all(lives: Lives) -> list[Figure]:
    """Return how often what went wrong."""
    wrong: Counter[Wrong] = Counter()
    count = kills = 0
    for name in LIVES:
        for news in NEWS:
            verdict = lives.live(name, news, Kills.SOME, seed=SEED)
            count, kills = count + 1, kills + verdict.kills
            wrong.update(problem.kind for problem in verdict.problems)
            for problem in verdict.problems:
                print(f"{name}, {news}: {problem.text}", flush=True)
    return [
        Figure("lives", count, "", 60, at_least=True),
        Figure("processes killed in them", kills, ""),
        *(Figure(kind.value, wrong[kind], "", 0) for kind in Wrong),
    ]


def wait_for_mendings(lives: Lives) -> list[Figure]:
    """Return how long a failed check waits for us, beyond the time in which checks settle."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable
    waits = []
    for _ in range(TRIES):
        with lives.begin(LIVES["checks are mended"]) as (forge, squire):
            waits.append(seconds_to_mend(forge, squire, chance.uniform(0, 5)) - FollowRules().settling_s)
    return [
        Figure("failed check to its mending, our own waiting, median", percentile(waits, 0.5), "s"),
        Figure("the same, p95", percentile(waits, 0.95), "s", 10),
    ]


def count_points(lives: Lives) -> list[Figure]:
    """Return what following costs of GitHub's limits."""
    figures = []
    for name, delivers, most in (("with deliveries", True, 3), ("without", False, 15)):
        counted: list[CountingTransport] = []

        def count(transport: httpx.AsyncBaseTransport, counted: list[CountingTransport] = counted) -> CountingTransport:
            counted.append(CountingTransport(transport))
            return counted[-1]

        with lives.begin(LIVES["merged at once"], counts=count) as (forge, squire):
            FollowedHour(forge, squire).pass_by(delivers=delivers)
        points = counted[0].points.total() / PULLS
        figures.append(Figure(f"points per pull request and hour, {name}", points, "", most))
    return figures


def main() -> int:
    """Measure all; return the exit code."""
    logging.disable(logging.CRITICAL)
    stamina.set_testing(True)
    with tempfile.TemporaryDirectory() as folder:
        lives = Lives(Path(folder))
        try:
            figures = [*count_points(lives), *wait_for_mendings(lives), *live_all(lives)]
        finally:
            lives.close()
    return report("follow", figures)


if __name__ == "__main__":
    sys.exit(main())
