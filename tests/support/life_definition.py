"""What a life of a pull request of ours is made of, as data; the scripts themselves are in `life_scripts*`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.pull_endings import PullEnding
from tests.support.life_agent import Work
from tests.support.life_world import GREEN, RED, STATE_FILE

GOOD, BAD = Work({STATE_FILE: GREEN}), Work({STATE_FILE: RED})
PLAIN, NOTHING = Work(), Work(None, cause=Cause.NO_CHANGES)
ANSWER = Work(words="Remark 1: done: it says when\nRemark 2: declined: it is right")
DECLINE = Work(None, words="Remark 1: declined: it is right", cause=Cause.NO_CHANGES)

US = "squire-demo"
"""The account whose token Squire has."""


@dataclass(frozen=True)
class Life:
    """One life.

    Args:
        works: What our agent does, run by run.
        happens: The acts, each after Squire has come to rest.
        ends: Where the pull request stands in the end.
        reason: A part of why it stands there.
        before: The acts before Squire begins.
        pulls: How many pull requests of ours there are in the end.
        passes: The endings that it goes through, in order, where that is not `ends` alone.
        runs: How often the agent may run, at most.
        cancels: Whether somebody cancels each task that Squire makes on it, before its agent runs.
        settings: Tables of settings beside the usual ones.
        ending: How it ended, where that is to be told more closely than by `ends`.
        merged_by: Whose merge it was.
        says: Parts of what Squire says on its pull requests in the end, each in one comment.
        says_not: Parts of what it says nowhere.
        is_proposed: Whether its task waits for a person's approval at first.
        at_end: What must hold at GitHub in the end, by the names of `life_checks.FACTS`.
    """

    works: Sequence[Work]
    happens: Sequence[str]
    ends: FollowState | None
    reason: str = ""
    before: Sequence[str] = ()
    pulls: int = 1
    passes: Sequence[FollowState] | None = None
    runs: int | None = None
    cancels: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ending: PullEnding | None = None
    merged_by: str | None = None
    says: Sequence[str] = ()
    says_not: Sequence[str] = ()
    is_proposed: bool = False
    at_end: Sequence[str] = ()
