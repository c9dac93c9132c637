"""How well near-duplicates are told from other work, and what an answer that is kept saves: `make bench-plans`.

Near-duplicates are told on labelled pairs.

Beside it, the same pairs by the ratios of rapidfuzz alone, at the threshold where each is at its best: the pairs were
made to be hard for those. The pairs that are called wrongly are printed.

What feedback gains is counted over the corpus of answers, with a scripted model that mends what it is told.

An answer that is kept is looked up in a ledger with as many as are kept by default. It only reads, so that no disk is
waited for. A whole plan is made of the most signals that a model is shown, too: they are read, chosen from, planned by
rules and described again.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rapidfuzz import fuzz

from squire_pipelines.domain.similar_text import WorkText, is_same_work
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.planning.prompt import MAX_SIGNALS
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.sections.services import PlannerSettings
from tests.support.figures import Figure, percentile, report
from tests.support.ledgers import new_sqlite_ledger
from tests.support.mending_model import ASKS, asks_until_taken
from tests.support.model_server import ModelServer
from tests.support.near_duplicates import HELD_OUT, TUNED, read_pairs, score
from tests.support.shared_questions import Asker, answer, ask_in_processes
from tests.support.signal_samples import issue

Ratio = Callable[[str, str], float]
RATIOS: dict[str, Ratio] = {"token_sort_ratio": fuzz.token_sort_ratio, "token_set_ratio": fuzz.token_set_ratio}
PRECISION, RECALL = 0.95, 0.55
HIT_MS = 10
HITS = 200
KEPT = 500
TASKS = 20
SIGNALS = (1, MAX_SIGNALS)
PROCESSES = 16
THRESHOLDS = range(30, 100, 2)


def by_ratio(ratio: Ratio, threshold: int, first: WorkText, second: WorkText) -> bool:
    """Return whether the titles are as similar as the threshold."""
    return ratio(first.title.casefold(), second.title.casefold()) >= threshold


def kept_answers(folder: Path) -> list[Figure]:
    """Return the processor time of an answer that is kept, alone and with all that makes a plan of it."""
    ledger = new_sqlite_ledger(folder / "kept.sqlite")
    plan = Plan(repository="o/r", planner="llm:m", signals_digest="0" * 64, tasks=[task(n) for n in range(TASKS)])
    asked: list[str] = []

    async def ask() -> Plan:
        asked.append("asked")
        return plan

    with asyncio.Runner() as runner:
        shared = SharedAnswers(ledger, PlannerSettings())
        for number in range(KEPT):
            runner.run(shared.get(f"question {number}", ask, providers=1))
        times = [processor_ms(lambda: runner.run(shared.get("question 7", ask, providers=1))) for _ in range(HITS)]
        figures = [
            Figure(f"an answer of {TASKS} tasks that is kept, median", statistics.median(times), "ms", HIT_MS),
            Figure("95th percentile", percentile(times, 0.95), "ms"),
            Figure(f"requests of {HITS} of them", len(asked) - KEPT, "", 0),
        ]
        with ModelServer([answer()] * len(SIGNALS)) as server:
            asker = Asker(ledger, server.url)
            for count in SIGNALS:
                facts = [issue(10 + number, body="please " * 100) for number in range(count)]
                runner.run(asker.plan(*facts))
                times = [processor_ms(partial(runner.run, asker.plan(*facts))) for _ in range(HITS)]
                name = f"a whole plan by it, from {count} signal{'s' if count > 1 else ''}, median"
                figures.append(Figure(name, statistics.median(times), "ms"))
            figures.append(Figure("requests of them", len(server.main_requests) - len(SIGNALS), "", 0))
    ledger.close()
    return figures


def processor_ms(action: Callable[[], object]) -> float:
    """Return the processor time of this process that `action` takes: what else the machine does is not in it."""
    began = time.process_time()
    action()
    return 1000 * (time.process_time() - began)


def task(number: int) -> TaskSpec:
    """Return a task as a model plans it, with a long text."""
    return TaskSpec(
        key=f"t{number}",
        title="Fix it",
        kind="resolve_issue",
        prompt="Do this. " * 200,
        base_branch="main",
        signals=(f"open_issue:{number}",),
    )


def one_question(folder: Path) -> Figure:
    """Return how many requests processes make that ask one question at once."""
    new_sqlite_ledger(folder / "shared.sqlite").close()
    made = ask_in_processes(f"sqlite:///{folder / 'shared.sqlite'}", PROCESSES)
    if len(made.tasks) != PROCESSES or any(tasks != ["fix"] for tasks in made.tasks):
        raise SystemExit(f"not each process got the plan: {made}")
    return Figure(f"requests of {PROCESSES} processes with one question", made.calls, "", 1)


def gained_by_feedback() -> list[Figure]:
    """Return which share of the corpus' answers end in the model's plan after 1, 2 and 3 asks.

    The model answers well as soon as it is told what was wrong; what it is not asked again for stays as it is.
    """
    asks = asks_until_taken()
    figures = [Figure("answers of the corpus", len(asks), "")]
    for most in range(1, ASKS + 1):
        taken = sum(number is not None and number <= most for number in asks)
        figures.append(Figure(f"plans taken after {most} ask{'s' if most > 1 else ''}", taken / len(asks), ""))
    return figures


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        figures = [*kept_answers(Path(name)), one_question(Path(name)), *gained_by_feedback()]
    for part in (TUNED, HELD_OUT):
        pairs = [pair for pair in read_pairs() if pair.part == part]
        for pair in pairs:
            if is_same_work(pair.first, pair.second) != pair.same:
                print(f"{part}: {'missed' if pair.same else 'MISTAKEN'}: {pair.first.title!r} | {pair.second.title!r}")
        ours = score(is_same_work, part)
        figures += [
            Figure(f"pairs, {part}", len(pairs), ""),
            Figure(f"of them the same work, {part}", sum(pair.same for pair in pairs), ""),
            Figure(f"precision, {part}", ours.precision, "", PRECISION, at_least=True),
            Figure(f"recall, {part}", ours.recall, "", RECALL, at_least=True),
        ]
        for name, ratio in RATIOS.items():
            best = max(
                (score(partial(by_ratio, ratio, bound), part) for bound in THRESHOLDS), key=lambda s: s.precision
            )
            figures.append(Figure(f"precision of {name} alone at its best, {part}", best.precision, ""))
    return report("plans", figures)


if __name__ == "__main__":
    sys.exit(main())
