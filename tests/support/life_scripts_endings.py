"""The lives of pull requests after their merge, and of those that nobody merges, as data."""

from collections.abc import Mapping
from typing import Any

from squire_pipelines.domain.following import FollowState as F
from squire_pipelines.domain.pull_endings import PullEnding
from tests.support.life_acts_merging import OUR_PAIR, PAIR_FILE
from tests.support.life_agent import Work
from tests.support.life_definition import PLAIN, US, Life

_MERGES: Mapping[str, Any] = {"merge": {"enabled": True, "approvals": 0}}
_REVERTS: Mapping[str, Any] = {"after_merge": {"revert": True}}
_PAIR = Work({PAIR_FILE: OUR_PAIR})
_BROKEN = "pair passed before the merge and fails now, in a second run, too"
_BOTH = (F.MERGED, F.REVERTED)
_REVERTING, _EXPIRING = {"follow": _REVERTS}, {"follow": {"expires_days": 2}}

ENDING_LIVES: Mapping[str, Life] = {
    # The base after the merge.
    "the base passes after the merge": Life(
        [_PAIR], ["merge"], F.MERGED, before=["expect a pair"], settings=_REVERTING
    ),
    "the base fails once after the merge": Life(
        [_PAIR],
        ["base changes the pair", "merge", "wait"],
        F.MERGED,
        before=["expect a pair, in a flaky check"],
        settings=_REVERTING,
        says_not=["base branch fails"],
    ),
    "the merge breaks the base": Life(
        [_PAIR],
        ["base changes the pair", "merge", "wait"],
        F.MERGED,
        before=["expect a pair"],
        says=[_BROKEN],
        says_not=["takes it back"],
        at_end=["no revert is audited"],
    ),
    "the merge breaks the base, and a revert is proposed": Life(
        [_PAIR],
        ["base changes the pair", "merge", "wait"],
        F.MERGED,
        before=["expect a pair"],
        pulls=2,
        settings=_REVERTING,
        says=[_BROKEN, "takes it back. A person decides"],
        at_end=["its revert is open", "one revert is audited"],
    ),
    "the merge breaks the base, and a person merges the revert": Life(
        [_PAIR],
        ["base changes the pair", "merge", "wait", "merge", "wait"],
        F.REVERTED,
        before=["expect a pair"],
        pulls=2,
        passes=_BOTH,
        settings=_REVERTING,
        says=["takes it back. A person decides"],
        ending=PullEnding.REVERTED,
    ),
    "the merge breaks the base, and a person squashes the revert": Life(
        [_PAIR],
        ["base changes the pair", "merge", "wait", "the revert is squashed without its words", "wait"],
        F.REVERTED,
        before=["expect a pair"],
        pulls=2,
        passes=_BOTH,
        settings=_REVERTING,
        ending=PullEnding.REVERTED,
    ),
    "Squire's own merge breaks the base": Life(
        [_PAIR],
        ["base changes the pair", "rules: none+approve", "wait"],
        F.MERGED,
        before=["expect a pair", "rules: an approval"],
        pulls=2,
        merged_by=US,
        settings={"follow": {**_MERGES, **_REVERTS}},
        says=["takes it back. A person decides"],
        at_end=["its revert is open", "one revert is audited"],
    ),
    "the answer to the revert is lost": Life(
        [_PAIR],
        ["base changes the pair+the revert's answer is lost", "merge", "wait", "wait", "wait"],
        F.MERGED,
        before=["expect a pair"],
        pulls=2,
        settings=_REVERTING,
        says=["takes it back. A person decides"],
        at_end=["its revert is open"],
    ),
    "a person proposes the revert first": Life(
        [_PAIR],
        ["base changes the pair", "merge+a person opens a revert", "wait"],
        F.MERGED,
        before=["expect a pair"],
        settings=_REVERTING,
        says=["takes it back. A person decides"],
        at_end=["no revert is audited"],
    ),
    "a revert is in the way of later changes": Life(
        [_PAIR],
        ["base changes the pair", "merge+the pair is written anew", "wait"],
        F.MERGED,
        before=["expect a pair"],
        settings=_REVERTING,
        says=["Squire could not propose to take it back"],
        at_end=["no revert is audited"],
    ),
    "a revert that breaks the base is not reverted": Life(
        [_PAIR],
        ["made a revert", "base changes the pair", "merge", "wait"],
        F.MERGED,
        before=["expect a pair"],
        settings=_REVERTING,
        says=[_BROKEN],
        at_end=["no revert is audited"],
    ),
    "the base was red before the merge": Life(
        [PLAIN],
        ["base is broken", "merge", "wait"],
        F.MERGED,
        settings=_REVERTING,
        says_not=["base branch fails"],
        at_end=["no revert is audited"],
    ),
    "the base fails elsewhere than the merge has changed": Life(
        [PLAIN],
        ["a service goes down", "merge", "wait"],
        F.MERGED,
        settings=_REVERTING,
        says=["README.md, which it did not touch"],
        at_end=["no revert is audited"],
    ),
    # Taken back by people.
    "reverted by a commit": Life(
        [PLAIN],
        ["merge", "a commit reverts it"],
        F.REVERTED,
        passes=_BOTH,
        ending=PullEnding.REVERTED,
    ),
    "merged into a renamed base, and reverted by a commit": Life(
        [PLAIN],
        ["rename base", "merge", "a commit reverts it"],
        F.REVERTED,
        passes=_BOTH,
        ending=PullEnding.REVERTED,
    ),
    "reverted by GitHub's button": Life(
        [PLAIN],
        ["squash", "a person opens a revert", "a person merges that revert"],
        F.REVERTED,
        passes=_BOTH,
        ending=PullEnding.REVERTED,
    ),
    "a revert is proposed, and nobody merges it": Life([PLAIN], ["squash", "a person opens a revert"], F.MERGED),
    "Squire merges it, and a person takes it back": Life(
        [PLAIN],
        ["nothing", "a commit reverts it"],
        F.REVERTED,
        passes=_BOTH,
        merged_by=US,
        settings={"follow": _MERGES},
        ending=PullEnding.REVERTED,
    ),
    # Stale.
    "stale": Life(
        [PLAIN],
        ["days pass"],
        F.CLOSED,
        settings=_EXPIRING,
        ending=PullEnding.STALE,
        says=["nothing happened here for 2 days"],
        runs=1,
    ),
    "stale, and the answer to its closing is lost": Life(
        [PLAIN],
        ["the closing's answer is lost+days pass", "wait"],
        F.CLOSED,
        settings=_EXPIRING,
        ending=PullEnding.STALE,
        says=["nothing happened here for 2 days"],
    ),
    "stale, and opened again": Life(
        [PLAIN],
        ["days pass", "reopen", "merge"],
        F.MERGED,
        passes=[F.CLOSED, F.MERGED],
        settings=_EXPIRING,
        ending=PullEnding.MERGED_UNCHANGED,
        says=["nothing happened here for 2 days"],
    ),
    "a person comments when it is stale": Life(
        [PLAIN],
        ["days pass+a person comments"],
        F.WAITING_FOR_MERGE,
        settings=_EXPIRING,
        says_not=["nothing happened here"],
    ),
    "left to people, and stale": Life(
        [PLAIN],
        ["person pushes", "days pass"],
        F.CLOSED,
        settings=_EXPIRING,
        ending=PullEnding.STALE,
        says=["nothing happened here for 2 days"],
    ),
    "merged when it is stale": Life(
        [PLAIN], ["days pass+merge"], F.MERGED, settings=_EXPIRING, says_not=["nothing happened here"]
    ),
}
