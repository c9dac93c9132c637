"""Labelled pairs of titles and texts, and how a rule does on them.

Every pair was written for this project, in the manner of issues, tasks and pull requests of open projects; none is
copied from one. `tuned` pairs were looked at while the rule was made. `held out` ones were written afterwards, and
tried once: two rules, opposites by a prefix and titles that begin with a refusal, were added after that.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from squire_pipelines.domain.similar_text import WorkText

FILE = Path(__file__).with_name("near_duplicates.jsonl")
TUNED, HELD_OUT = "tuned", "held out"


@dataclass(frozen=True)
class Pair:
    """Two texts, whether they ask for the same work, and which case they are for."""

    part: str
    same: bool
    case: str
    first: WorkText
    second: WorkText


@dataclass(frozen=True)
class Score:
    """How often a rule was right."""

    hits: int
    mistaken: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of the pairs called the same that are."""
        return self.hits / (self.hits + self.mistaken) if self.hits else 0.0

    @property
    def recall(self) -> float:
        """The share of the pairs that are the same which were called so."""
        return self.hits / (self.hits + self.missed) if self.hits else 0.0


@cache
def read_pairs() -> tuple[Pair, ...]:
    """Return all pairs."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Pair(row["part"], row["same"], row["case"], WorkText(**row["first"]), WorkText(**row["second"])) for row in rows
    )


def score(rule: Callable[[WorkText, WorkText], bool], part: str) -> Score:
    """Return how a rule does on one part."""
    pairs = [pair for pair in read_pairs() if pair.part == part]
    called = [(pair.same, rule(pair.first, pair.second)) for pair in pairs]
    return Score(called.count((True, True)), called.count((False, True)), called.count((True, False)))
