"""The lives of pull requests of ours, as data: what our agent does, what happens to each, and how it must end."""

from collections.abc import Mapping

from squire_pipelines.domain.following import FollowState as F
from squire_pipelines.domain.pull_endings import PullEnding
from tests.support.life_agent import Work
from tests.support.life_definition import ANSWER, BAD, DECLINE, GOOD, NOTHING, PLAIN, Life
from tests.support.life_scripts_dashboard import DASHBOARD_LIVES
from tests.support.life_scripts_endings import ENDING_LIVES
from tests.support.life_scripts_merging import MERGING_LIVES
from tests.support.life_world import GREEN, STATE_FILE

LIVES: Mapping[str, Life] = {
    # Merged, in each way that there is.
    "merged at once": Life([PLAIN], ["merge"], F.MERGED, ending=PullEnding.MERGED_UNCHANGED),
    "squashed": Life([PLAIN], ["squash"], F.MERGED),
    "rebased": Life([PLAIN], ["rebase"], F.MERGED),
    "fast-forwarded": Life([PLAIN], ["fast-forward"], F.MERGED),
    "squashed by a bot that closes it": Life(
        [PLAIN], ["land squashed"], F.LANDED_ELSEWHERE, ending=PullEnding.LANDED_ELSEWHERE
    ),
    "picked by a bot that closes it": Life([PLAIN], ["land picked"], F.LANDED_ELSEWHERE),
    "merged while an agent mends it": Life([BAD, Work({STATE_FILE: GREEN}, meanwhile="merge")], ["nothing"], F.MERGED),
    "merged after a person's commit": Life(
        [PLAIN], ["person pushes", "merge"], F.MERGED, ending=PullEnding.MERGED_CHANGED
    ),
    "merged, then its branch is deleted": Life([PLAIN], ["merge", "delete branch"], F.MERGED),
    "merged and reverted": Life([PLAIN], ["merge", "revert"], F.REVERTED, passes=[F.MERGED, F.REVERTED]),
    "merged, reverted in one breath": Life([PLAIN], ["merge+revert"], F.REVERTED, passes=[F.MERGED, F.REVERTED]),
    # Checks.
    "checks are mended": Life([BAD, GOOD], ["merge"], F.MERGED, runs=2),
    "checks are mended at the second try": Life([BAD, PLAIN, GOOD], ["nothing", "merge"], F.MERGED, runs=3),
    "checks stay red": Life([BAD, PLAIN], ["nothing", "nothing"], F.HANDED_OVER, "after 3 tries", runs=4),
    "checks stay red, merged all the same": Life([BAD, PLAIN], ["nothing", "nothing", "merge"], F.MERGED),
    "checks stay red, closed": Life([BAD, PLAIN], ["nothing", "nothing", "close"], F.CLOSED),
    "no agent finds what to mend": Life([BAD, NOTHING], ["nothing", "nothing"], F.HANDED_OVER, "changed nothing"),
    "checks come late": Life([BAD, GOOD], ["run checks", "nothing", "merge"], F.MERGED, before=["hold checks"]),
    "a build runs, and passes": Life([PLAIN], ["build runs", "build passes", "merge"], F.MERGED, runs=1),
    "a build runs, and fails, and passes": Life([PLAIN, PLAIN], ["build runs", "build fails", "merge"], F.MERGED),
    "a person mends it": Life(
        [BAD, Work(meanwhile="person mends")], ["nothing"], F.HANDED_OVER, "somebody else has pushed"
    ),
    "a licence is not signed": Life(
        [PLAIN], ["licence fails", "wait", "nothing"], F.HANDED_OVER, "no work for an agent", runs=1
    ),
    "people mend checks here": Life(
        [BAD], ["nothing"], F.WAITING_FOR_REVIEW, "leave to people", settings={"follow": {"checks": False}}, runs=1
    ),
    "somebody cancels the mending": Life(
        [BAD, GOOD], ["nothing"], F.HANDED_OVER, "cancelled the work", runs=1, cancels=True
    ),
    # Remarks.
    "a remark is done": Life([PLAIN, ANSWER], ["remark", "merge"], F.MERGED, runs=2),
    "a remark is declined": Life([PLAIN, DECLINE], ["remark", "merge"], F.MERGED, runs=2),
    "two remarks are one round": Life([PLAIN, ANSWER], ["remark+second remark", "merge"], F.MERGED, runs=2),
    "two remarks are two rounds": Life([PLAIN, ANSWER, ANSWER], ["remark", "second remark", "merge"], F.MERGED, runs=3),
    "a bot's remark is answered": Life([PLAIN, ANSWER], ["bot's remark", "merge"], F.MERGED, runs=2),
    "a stranger's remark starts nothing": Life([PLAIN], ["stranger's remark", "merge"], F.MERGED, runs=1),
    "a remark comes while checks are mended": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="remark"), ANSWER], ["nothing", "merge"], F.MERGED, runs=3
    ),
    "a remark comes after the merge": Life([PLAIN], ["merge", "remark"], F.MERGED, runs=1),
    "a remark comes, and then the merge, while an agent answers": Life(
        [PLAIN, Work(meanwhile="merge", words=ANSWER.words)], ["remark"], F.MERGED
    ),
    "remarks come without end": Life(
        [PLAIN, ANSWER],
        ["remark", "second remark", "remark"],
        F.HANDED_OVER,
        "rounds",
        settings={"follow": {"max_answers": 2}},
    ),
    "the answer to a remark is lost on its way": Life(
        [PLAIN, Work(words=ANSWER.words, meanwhile="comment's answer is lost")], ["remark", "wait", "merge"], F.MERGED
    ),
    # Reviews.
    "approved": Life([PLAIN], ["approve", "merge"], F.MERGED),
    "changes are asked for": Life([PLAIN], ["ask for changes"], F.WAITING_FOR_REVIEW, "asked for changes"),
    "a draft for a while": Life([PLAIN], ["make a draft", "make ready", "merge"], F.MERGED),
    # Closed, and what may follow.
    "closed": Life([PLAIN], ["close"], F.CLOSED, runs=1, ending=PullEnding.CLOSED_BY_PERSON),
    "closed and opened again": Life([PLAIN], ["close", "reopen", "merge"], F.MERGED, passes=[F.CLOSED, F.MERGED]),
    "closed, opened, closed": Life([PLAIN], ["close", "reopen", "close"], F.CLOSED, passes=[F.CLOSED, F.CLOSED]),
    "closed while an agent mends it": Life([BAD, Work({STATE_FILE: GREEN}, meanwhile="close")], ["nothing"], F.CLOSED),
    "closed with a remark": Life([PLAIN], ["remark+close"], F.CLOSED),
    "its branch is deleted": Life([PLAIN], ["delete branch"], F.CLOSED, ending=PullEnding.CLOSED_WITH_BRANCH),
    "its branch is deleted and made again": Life(
        [PLAIN], ["delete branch", "remake branch", "merge"], F.MERGED, passes=[F.CLOSED, F.MERGED]
    ),
    "its branch is made anew by a person": Life(
        [PLAIN],
        ["delete branch", "remake branch elsewhere", "nothing"],
        F.HANDED_OVER,
        "somebody else has pushed",
        passes=[F.CLOSED],
    ),
    "its branch is deleted while an agent mends it": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="delete branch")], ["nothing"], F.CLOSED
    ),
    # People on the branch.
    "a person pushes": Life([PLAIN], ["person pushes", "remark"], F.HANDED_OVER, "somebody else has pushed", runs=1),
    "a person replaces the branch": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="person replaces the branch")],
        ["nothing"],
        F.HANDED_OVER,
        "somebody else has pushed",
    ),
    "a person pushes while an agent answers": Life(
        [PLAIN, Work(words=ANSWER.words, meanwhile="person pushes")], ["remark"], F.HANDED_OVER, "somebody else"
    ),
    "a person pushes, and has it taken up": Life(
        [PLAIN, ANSWER], ["person pushes", "take up", "remark", "merge"], F.MERGED, runs=2
    ),
    # The base.
    "the base moves": Life([PLAIN], ["base moves", "merge"], F.MERGED),
    "the base conflicts, and an agent resolves it": Life(
        [Work({"shared.txt": "ours\n"}), Work({"shared.txt": "both\n"})],
        ["base conflicts", "wait", "nothing", "merge"],  # until what a kill held up has come about
        F.MERGED,
        runs=2,
    ),
    "the base conflicts, and no try resolves it": Life(
        [Work({"shared.txt": "ours\n"}), PLAIN], ["base conflicts"], F.HANDED_OVER, "2 tries did not resolve it", runs=3
    ),
    "somebody brings the branch up to date": Life(
        [PLAIN, ANSWER], ["base moves+update branch", "remark", "merge"], F.MERGED, runs=2
    ),
    "the base wants branches that are up to date": Life(
        [PLAIN], ["want branches up to date+base moves", "merge"], F.MERGED, runs=1
    ),
    "the base moves while an agent mends it": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="base moves")], ["nothing", "merge"], F.MERGED, runs=2
    ),
    "the base is renamed": Life([PLAIN], ["rename base", "merge"], F.MERGED),
    "the base is renamed while an agent mends it": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="rename base")], ["nothing", "merge"], F.MERGED, runs=2
    ),
    # GitHub refuses, is away, forgets.
    "opening is refused once": Life(
        [PLAIN], ["nothing", "wait", "merge"], F.MERGED, before=["opening is refused once"], runs=1
    ),
    "opening's answer is lost": Life([PLAIN], ["merge"], F.MERGED, before=["opening's answer is lost"], runs=1),
    "the conversation is locked": Life(
        [BAD, PLAIN], ["lock", "nothing", "nothing", "unlock", "wait", "merge"], F.MERGED
    ),
    "GitHub is away for a while": Life([PLAIN], ["GitHub is away", "GitHub is back", "wait", "merge"], F.MERGED),
    "GitHub is away when the work is published, and at the next try": Life(
        [Work(meanwhile="GitHub is away")],
        ["wait", "GitHub is back", "wait", "retry", "wait", "merge"],
        F.MERGED,
        runs=1,
    ),
    "a rule refuses the mending, and is lifted": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="a rule refuses")],
        ["the rule is lifted", "retry", "nothing", "merge"],
        F.MERGED,
        runs=2,
    ),
    "a rule refuses the first push, and is lifted": Life(
        [PLAIN], ["the rule is lifted", "retry", "merge"], F.MERGED, before=["a rule refuses"], runs=1
    ),
    "the token loses its rights for a while": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="lose rights")],
        ["gain rights", "retry", "wait", "nothing", "merge"],
        F.MERGED,
        runs=2,
    ),
    "archived for a while": Life([PLAIN], ["archive", "unarchive", "merge"], F.MERGED),
    "the pull request vanishes": Life([PLAIN], ["vanish", "wait"], F.HANDED_OVER, reason="no longer shows it", runs=1),
    "the pull request vanishes and comes back later": Life([PLAIN], ["vanish", "wait", "come back", "merge"], F.MERGED),
    "the pull request vanishes for a while": Life([PLAIN], ["vanish", "come back", "merge"], F.MERGED),
    "the repository vanishes for a while": Life(
        [PLAIN], ["repository vanishes", "repository comes back", "merge"], F.MERGED
    ),
    "the repository is made anew, with somebody's pull request of our number": Life(
        [PLAIN], ["remake repository", "wait"], F.HANDED_OVER, "no longer shows it", pulls=0, runs=1
    ),
    # Others.
    "a fork has a branch of this name": Life([PLAIN, ANSWER], ["fork first", "remark", "merge"], F.MERGED, runs=2),
    "a fork opens one while an agent mends it": Life(
        [BAD, Work({STATE_FILE: GREEN}, meanwhile="fork first")], ["nothing", "merge"], F.MERGED, runs=2
    ),
    # Merged by Squire, what comes after a merge, the dashboard.
    **MERGING_LIVES,
    **ENDING_LIVES,
    **DASHBOARD_LIVES,
}
