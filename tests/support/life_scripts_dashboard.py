"""The lives of pull requests that people steer by the boxes of the repository's dashboard, as data."""

from collections.abc import Mapping

from squire_pipelines.domain.following import FollowState as F
from tests.support.life_agent import Work
from tests.support.life_definition import ANSWER, BAD, PLAIN, Life
from tests.support.life_world import GREEN, STATE_FILE

_SHOWN = {"follow": {"dashboard": True}}
_WHOLE = ("one dashboard without a tick",)

DASHBOARD_LIVES: Mapping[str, Life] = {
    "merged, with a dashboard": Life([PLAIN], ["merge"], F.MERGED, settings=_SHOWN, at_end=_WHOLE),
    "checks are mended, with a dashboard": Life(
        [BAD, Work({STATE_FILE: GREEN})], ["merge"], F.MERGED, runs=2, settings=_SHOWN, at_end=_WHOLE
    ),
    "the opening of the dashboard is lost": Life(
        [PLAIN],
        ["merge"],
        F.MERGED,
        before=["the dashboard's opening is lost"],
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "run now is ticked": Life(
        [PLAIN],
        ["wait", "tick run", "wait", "wait", "merge"],
        F.MERGED,
        is_proposed=True,
        runs=1,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "run now is ticked by a stranger, and then by who may": Life(
        [PLAIN],
        ["wait", "a stranger ticks run", "wait", "tick run", "wait", "wait", "merge"],
        F.MERGED,
        is_proposed=True,
        runs=1,
        settings=_SHOWN,
        at_end=(*_WHOLE, "one box is refused"),
    ),
    "run now is ticked while the dashboard is written": Life(
        [PLAIN],
        ["wait", "tick run as it is written+somebody writes into it", "wait", "wait", "wait", "wait", "merge"],
        F.MERGED,
        is_proposed=True,
        runs=1,
        settings=_SHOWN,
        at_end=(*_WHOLE, "no box is refused"),
    ),
    "retry is ticked after a refusal": Life(
        [PLAIN],
        ["wait", "the rule is lifted+tick retry", "wait", "wait", "merge"],
        F.MERGED,
        before=["a rule refuses"],
        runs=1,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "retry is ticked on one that was left to people": Life(
        [PLAIN, ANSWER],
        ["person pushes", "wait", "tick retry", "wait", "wait", "remark", "merge"],
        F.MERGED,
        runs=2,
        settings=_SHOWN,
        at_end=(*_WHOLE, "no box is refused"),
    ),
    "retry is ticked while the dashboard is written": Life(
        [PLAIN, ANSWER],
        [
            "person pushes",
            "wait",
            "tick retry as it is written+somebody writes into it",
            "wait",
            "wait",
            "remark",
            "merge",
        ],
        F.MERGED,
        runs=2,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "stop is ticked while an agent mends it": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="tick stop, or cancel+Squire follows")],
        ["nothing"],
        F.HANDED_OVER,
        "cancelled the work",
        runs=2,
        settings={**_SHOWN, "pipeline": {"outcome_poll_s": 1}},
        at_end=_WHOLE,
    ),
    "stop is ticked, and nothing has become of it when the agent ends": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="tick stop, if shown")],
        ["nothing", "merge"],
        F.MERGED,
        runs=2,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "a tick is taken back": Life(
        [PLAIN],
        ["wait", "tick run+untick", "wait", "tick run", "wait", "wait", "merge"],
        F.MERGED,
        is_proposed=True,
        runs=1,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "the dashboard cannot be written for a while": Life(
        [PLAIN],
        ["wait", "writing the dashboard is refused once+tick run", "wait", "wait", "wait", "merge", "wait"],
        F.MERGED,
        is_proposed=True,
        runs=1,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
    "a person closes the dashboard, and reopens it": Life(
        [PLAIN],
        ["wait", "close the dashboard", "merge", "reopen the dashboard", "wait"],
        F.MERGED,
        settings=_SHOWN,
        at_end=_WHOLE,
    ),
}
