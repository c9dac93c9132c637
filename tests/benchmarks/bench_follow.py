"""Following pull requests of ours: what goes wrong in their lives, how long a mending waits, what it costs.

`make bench-follow`. Each life of `tests/support/life_scripts.py` is lived once for each way that news of it come, with
each process of ours killed once, at a moment by chance: before or after a write of the ledger or a request. The forge
and Squire's own ops run without Dagster's processes; a scripted agent takes no time. What goes wrong is printed.

`SQUIRE_BENCH_PROCESSES` says in how many processes they are lived (by default one for each processor), and
`SQUIRE_BENCH_SHARD=2/4` lives the second of four parts alone, whose figures are in `follow-2-of-4.json`; those that are
not about lives come with the first part. `SQUIRE_BENCH_NEWS` names the ways (`delivered,asked_for,doubled,reversed,
late`), `SQUIRE_BENCH_SEED` other moments.

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
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
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
PROCESSES = int(os.environ.get("SQUIRE_BENCH_PROCESSES", str(os.cpu_count() or 1)))
PART, PARTS = map(int, os.environ.get("SQUIRE_BENCH_SHARD", "1/1").split("/"))
TRIES = 20
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it


def live_one(name: str) -> tuple[int, list[tuple[Wrong, str]]]:
    """Live one life in each way; return how many processes were killed, and what went wrong."""
    kills, wrong = 0, []
    with _lives() as lives:
        for news in NEWS:
            verdict = lives.live(name, news, Kills.SOME, seed=SEED)
            kills += verdict.kills
            wrong += [(problem.kind, f"{name}, {news}: {problem.text}") for problem in verdict.problems]
    return kills, wrong


def live_all(names: Sequence[str]) -> list[Figure]:
    """Return how often what went wrong."""
    wrong: Counter[Wrong] = Counter()
    kills = 0
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for killed, problems in pool.map(live_one, names):
            kills += killed
            wrong.update(kind for kind, _ in problems)
            for _, text in problems:
                print(text, flush=True)
    return [
        Figure("scripts of lives", len(LIVES), "", 60, at_least=True),
        Figure("lives", len(names) * len(NEWS), ""),
        Figure("processes killed in them", kills, ""),
        *(Figure(kind.value, wrong[kind], "", 0) for kind in Wrong),
    ]


@contextmanager
def _lives() -> Iterator[Lives]:
    """Keep the files in memory where that is: half of the time of Git and SQLite is the disk's."""
    logging.disable(logging.CRITICAL)
    stamina.set_testing(True)
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        lives = Lives(Path(folder))
        try:
            yield lives
        finally:
            lives.close()


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
    """Measure all, or one part; return the exit code."""
    figures: list[Figure] = []
    if PART == 1:
        with _lives() as lives:
            figures += [*count_points(lives), *wait_for_mendings(lives)]
    figures += live_all(list(LIVES)[PART - 1 :: PARTS])
    return report("follow" if PARTS == 1 else f"follow-{PART}-of-{PARTS}", figures)


if __name__ == "__main__":
    sys.exit(main())
