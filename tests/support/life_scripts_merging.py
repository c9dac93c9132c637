"""The lives of pull requests that Squire merges where the settings want that, as data."""

from collections.abc import Mapping
from typing import Any

from squire_pipelines.domain.following import FollowState as F
from squire_pipelines.domain.pull_endings import PullEnding
from tests.support.life_agent import Work
from tests.support.life_definition import ANSWER, BAD, DECLINE, GOOD, PLAIN, US, Life

Tables = Mapping[str, Mapping[str, Any]]


def _merging(**merge: object) -> Tables:
    return {"follow": {"merge": {"enabled": True, "approvals": 0, **merge}}}


_SHARED, _RESOLVED = Work({"shared.txt": "ours\n"}), Work({"shared.txt": "both\n"})

MERGING_LIVES: Mapping[str, Life] = {
    # Merged by Squire, at the head that was judged.
    "Squire merges it": Life(
        [PLAIN],
        ["nothing"],
        F.MERGED,
        merged_by=US,
        settings=_merging(),
        ending=PullEnding.MERGED_UNCHANGED,
        at_end=["its merge has one parent", "one merge is audited"],
    ),
    "Squire merges it by a merge commit": Life(
        [PLAIN],
        ["nothing"],
        F.MERGED,
        merged_by=US,
        settings=_merging(method="merge"),
        at_end=["its merge has two parents", "one merge is audited"],
    ),
    "Squire rebases it": Life(
        [BAD, GOOD],
        ["nothing"],
        F.MERGED,
        before=["rules: any method"],
        merged_by=US,
        settings=_merging(method="rebase"),
        runs=2,
        at_end=["its merge has one parent"],
    ),
    "Squire may not merge by this method, and then may": Life(
        [PLAIN],
        ["nothing", "rules: any method", "wait", "wait", "wait"],
        F.MERGED,
        before=["rules: merge commits alone"],
        merged_by=US,
        settings=_merging(method="squash"),
    ),
    "Squire merges it once it is approved": Life(
        [PLAIN], ["nothing", "approve"], F.MERGED, before=["rules: an approval"], merged_by=US, settings=_merging()
    ),
    "Squire merges it once a remark is answered": Life(
        [PLAIN, ANSWER],
        ["remark", "approve"],
        F.MERGED,
        merged_by=US,
        runs=2,
        settings=_merging(approvals=1),
    ),
    "Squire merges it once its checks are mended": Life(
        [BAD, GOOD], ["nothing"], F.MERGED, merged_by=US, runs=2, settings=_merging()
    ),
    "a declined remark waits for a person": Life(
        [PLAIN, DECLINE],
        ["remark", "approve"],
        F.WAITING_FOR_MERGE,
        "waits for the end of an open thread",
        settings=_merging(approvals=1),
        at_end=["no merge is audited"],
    ),
    "the answer to Squire's merge is lost": Life(
        [PLAIN],
        ["nothing"],
        F.MERGED,
        before=["the merge's answer is lost"],
        merged_by=US,
        settings=_merging(),
        at_end=["one merge is audited"],
    ),
    "a person pushes in the moment of Squire's merge": Life(
        [PLAIN],
        ["nothing"],
        F.HANDED_OVER,
        "somebody else has pushed",
        before=["a person pushes right before the merge"],
        settings=_merging(),
        at_end=["no merge is audited"],
    ),
    "a person merges in the moment of Squire's merge": Life(
        [PLAIN],
        ["nothing"],
        F.MERGED,
        before=["a person merges right before"],
        merged_by="mara",
        settings=_merging(),
        says_not=["could not merge"],
    ),
    "a rule refuses Squire's merge, and somebody asks again": Life(
        [PLAIN],
        ["wait", "wait", "wait", "wait", "merging is no longer refused", "ask again", "wait"],
        F.MERGED,
        before=["merging is refused"],
        merged_by=US,
        settings=_merging(),
        says=["Changes must be made through a rule"],
    ),
    "the token may not merge, and a person does": Life(
        [PLAIN],
        ["nothing", "merge"],
        F.MERGED,
        before=["merging is forbidden"],
        merged_by="mara",
        settings=_merging(),
        says=["The token may not merge here"],
        at_end=["no merge is audited"],
    ),
    # Auto-merge.
    "auto-merge merges it": Life(
        [PLAIN],
        ["the release passes"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by=US,
        settings=_merging(),
        at_end=["one merge is audited"],
    ),
    "a person switches auto-merge off": Life(
        [PLAIN],
        ["auto-merge is switched off", "the release passes", "wait"],
        F.WAITING_FOR_MERGE,
        "its auto-merge was switched off: mara",
        before=["rules: auto-merge, a release"],
        settings=_merging(),
        says=["that is a person's word"],
        at_end=["nobody has asked to merge it", "no merge is audited"],
    ),
    "a person switches auto-merge off, and merges it later": Life(
        [PLAIN],
        ["auto-merge is switched off", "the release passes", "merge"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by="mara",
        settings=_merging(),
        says=["that is a person's word"],
        at_end=["no merge is audited"],
    ),
    "a person switches auto-merge off, and asks for it again": Life(
        [PLAIN],
        ["auto-merge is switched off", "ask again", "the release passes", "wait"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by=US,
        settings=_merging(),
    ),
    "auto-merge is taken back for a remark, and asked for again": Life(
        [PLAIN, ANSWER],
        ["remark", "the release passes", "wait"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by=US,
        runs=2,
        settings=_merging(),
        says_not=["a person's word"],
    ),
    "auto-merge is taken back when a person pushes": Life(
        [PLAIN],
        ["person pushes", "the release passes", "wait"],
        F.HANDED_OVER,
        "somebody else has pushed",
        before=["rules: auto-merge, a release"],
        settings=_merging(),
        at_end=["nobody has asked to merge it", "no merge is audited"],
    ),
    "auto-merge waits for the end of a conflict": Life(
        [_SHARED, _RESOLVED],
        ["base conflicts", "the release passes", "wait"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by=US,
        runs=2,
        settings=_merging(),
    ),
    "a person merges it while auto-merge has it": Life(
        [PLAIN],
        ["merge"],
        F.MERGED,
        before=["rules: auto-merge, a release"],
        merged_by="mara",
        settings=_merging(),
        at_end=["no merge is audited"],
    ),
    "landed elsewhere while auto-merge has it": Life(
        [PLAIN],
        ["land squashed"],
        F.LANDED_ELSEWHERE,
        before=["rules: auto-merge, a release"],
        settings=_merging(),
        at_end=["no merge is audited"],
    ),
    "closed while auto-merge has it": Life(
        [PLAIN],
        ["close"],
        F.CLOSED,
        before=["rules: auto-merge, a release"],
        settings=_merging(),
        at_end=["no merge is audited"],
    ),
    # A merge queue.
    "a merge queue merges it": Life(
        [PLAIN],
        ["nothing"],
        F.MERGED,
        before=["rules: a queue"],
        merged_by=US,
        settings=_merging(),
        at_end=["one merge is audited"],
    ),
    "a merge queue merges it after a while": Life(
        [PLAIN],
        ["wait", "rules: a queue"],
        F.MERGED,
        before=["rules: a paused queue"],
        merged_by=US,
        settings=_merging(),
        at_end=["one merge is audited"],
    ),
    "a merge queue drops it": Life(
        [PLAIN],
        ["the queue drops it", "rules: a queue", "wait"],
        F.WAITING_FOR_MERGE,
        "the merge queue dropped it",
        before=["rules: a paused queue"],
        settings=_merging(),
        says=["The merge queue dropped it"],
        at_end=["nobody has asked to merge it", "no merge is audited"],
    ),
    "a merge queue drops it, and a new head is queued": Life(
        [PLAIN, ANSWER],
        ["the queue drops it", "remark", "rules: a queue", "wait"],
        F.MERGED,
        before=["rules: a paused queue"],
        merged_by=US,
        runs=2,
        settings=_merging(),
    ),
    "a merge queue drops it, and somebody asks again": Life(
        [PLAIN],
        ["the queue drops it", "rules: a queue+ask again", "wait"],
        F.MERGED,
        before=["rules: a paused queue"],
        merged_by=US,
        settings=_merging(),
    ),
    "a person pushes while a merge queue has it": Life(
        [PLAIN],
        ["person pushes", "rules: a queue", "wait"],
        F.HANDED_OVER,
        "somebody else has pushed",
        before=["rules: a paused queue"],
        settings=_merging(),
        at_end=["nobody has asked to merge it", "no merge is audited"],
    ),
}
