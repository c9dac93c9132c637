"""How well near-duplicates of tasks are told from other work, on labelled pairs: `make bench-plans`.

Beside it, the same pairs by the ratios of rapidfuzz alone, at the threshold where each is at its best: the pairs were
made to be hard for those. The pairs that are called wrongly are printed.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rapidfuzz import fuzz

from squire_pipelines.domain.similar_text import WorkText, is_same_work
from tests.support.figures import Figure, report
from tests.support.near_duplicates import HELD_OUT, TUNED, read_pairs, score

Ratio = Callable[[str, str], float]
RATIOS: dict[str, Ratio] = {"token_sort_ratio": fuzz.token_sort_ratio, "token_set_ratio": fuzz.token_set_ratio}
PRECISION, RECALL = 0.95, 0.55
THRESHOLDS = range(30, 100, 2)


def by_ratio(ratio: Ratio, threshold: int, first: WorkText, second: WorkText) -> bool:
    """Return whether the titles are as similar as the threshold."""
    return ratio(first.title.casefold(), second.title.casefold()) >= threshold


def main() -> int:
    """Measure and report."""
    figures = []
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
