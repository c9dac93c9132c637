"""What people and GitHub do about the merge of a pull request of ours, and to the base branch after it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from squire_forge import events, merging, operations, settling, store, store_checks
from tests.support.git_repository import git
from tests.support.life_world import CHECK, Interruption, LifeForge

PAIR_FILE = "pair.txt"
PAIR, OUR_PAIR, THEIR_PAIR = ("\n".join(lines) + "\n" for lines in ("a12345z", "b12345z", "a12345y"))
"""One text, and two changes to it that git merges, and of which the merge fails the check `pair`."""

_RELEASE = "release"


def _rules(**rules: object) -> Callable[[LifeForge], object]:
    return lambda forge: forge.act("mara", merging=rules)


def _pass_release(forge: LifeForge) -> None:
    """Have a check pass that the base branch asks for and that nobody had begun."""
    forge.clock.forward(1)
    pull = forge.pull()
    with forge.world.lock, forge.world.database.writing() as con:
        view, repository, now = forge.view(con), forge.hosted(con), forge.world.now()
        suite = store_checks.suite(con, repository, pull.head_sha)
        assert suite is not None
        store.insert(
            con,
            "check_runs",
            suite_id=suite.id,
            name=_RELEASE,
            conclusion="success",
            title="",
            summary="",
            text="",
            started_at=now,
            completed_at=now,
        )
        run = store_checks.check_runs(con, suite)[-1]
        events.emit_check_run(view, run, [pull], operations.viewer(view))
    forge.settle()


def _expect(forge: LifeForge, check: str, path: str, pattern: str, *, flaky: bool = False) -> None:
    """Have a check ask for something more of each new commit: that no file `path` matches `pattern`."""
    with forge.world.database.writing() as con:
        store.insert(
            con,
            "expectations",
            repository_id=forge.hosted(con).id,
            check_name=check,
            path=path,
            pattern=pattern,
            must_match=False,
            message="they do not go together",
            flaky=flaky,
        )


def _expect_pair(forge: LifeForge, *, flaky: bool = False) -> None:
    _expect(forge, "pair", PAIR_FILE, r"b\n[\d\n]+y", flaky=flaky)
    forge.push({PAIR_FILE: PAIR}, branch="main")


def _before_request(forge: LifeForge, match: str, act: Callable[[], object]) -> None:
    forge.interruptions.append(Interruption(match, act))


def _revert_by_button(forge: LifeForge) -> None:
    """Have a person press GitHub's button at our first pull request, which opens a pull request that reverts it."""
    forge.clock.forward(1)
    pull = forge.pulls()[0]
    with forge.world.lock, forge.world.database.writing() as con:
        merging.revert(forge.view(con), pull, by=forge.account(con, "mara"))
    forge.settle()


def _merge_revert_by_button(forge: LifeForge) -> None:
    with forge.world.database.reading() as con:
        number = store.pulls(con, forge.hosted(con))[-1].number
    forge.merge_number(number)


def _squash_revert(forge: LifeForge) -> None:
    """Have a person merge the newest pull request, a revert, as one commit that does not say what it takes back."""
    forge.clock.forward(1)
    with forge.world.database.writing() as con:
        person, pull = forge.account(con, "mara"), store.pulls(con, forge.hosted(con))[-1]
    settling.merge(forge.world, pull, person, method="squash", title="Take it back", message="As discussed.")
    forge.settle()


def _revert_by_commit(forge: LifeForge) -> None:
    """Have a person push a commit to the base that takes our merge back, as `git revert` words it."""
    forge.clock.forward(1)
    merge_sha = forge.pulls()[0].merge_sha
    tree = git(forge.bare, "rev-parse", f"{merge_sha}^1^{{tree}}")
    base = f"refs/heads/{forge.pulls()[0].base_ref}"
    tip, words = git(forge.bare, "rev-parse", base), f"Revert it\n\nThis reverts commit {merge_sha}."
    sha = git(forge.bare, "commit-tree", tree, "-p", tip, "-m", words)
    git(forge.bare, "update-ref", base, sha)
    forge.settle()


def _retitle_as_revert(forge: LifeForge) -> None:
    forge.act("mara", number=forge.pull().number, title='Revert "Something earlier"')


MERGING_ACTS: Mapping[str, Callable[[LifeForge], object]] = MappingProxyType(
    {
        # What the base branch and its repository ask for.
        "rules: none": _rules(),
        "rules: any method": _rules(methods=("merge", "squash", "rebase")),
        "rules: merge commits alone": _rules(methods=("merge",)),
        "rules: auto-merge, a release": _rules(auto_merge=True, checks=(_RELEASE,)),
        "rules: an approval": _rules(approvals=1),
        "rules: a queue": _rules(queue="on"),
        "rules: a paused queue": _rules(queue="paused"),
        "the release passes": _pass_release,
        # Who ends what Squire asked for.
        "auto-merge is switched off": lambda forge: forge.act("mara", number=forge.pull().number, not_merged="not yet"),
        "the queue drops it": lambda forge: forge.act(
            "github-merge-queue", kind="Bot", number=forge.pull().number, not_merged="failed checks"
        ),
        "retry is asked for": lambda forge: forge.act("mara", number=forge.pull().number, comment="/squire retry"),
        # What happens in the moment of the merge.
        "the merge's answer is lost": lambda forge: forge.add_fault("^PUT .*/merge$", status=502, after=True),
        "merging is refused": lambda forge: forge.add_fault(
            "^PUT .*/merge$", status=405, body='{"message": "Changes must be made through a rule"}', times=99
        ),
        "merging is forbidden": lambda forge: forge.add_fault(
            "^PUT .*/merge$", status=403, body='{"message": "Resource not accessible"}', times=99
        ),
        "merging is no longer refused": lambda forge: forge.clear_faults(),
        "a person pushes right before the merge": lambda forge: _before_request(
            forge, "^PUT .*/merge$", lambda: forge.push({"OTHER.md": "More.\n"}, branch=forge.pull().head_ref)
        ),
        "a person merges right before": lambda forge: _before_request(forge, "^PUT .*/merge$", forge.merge),
        # What the merge breaks.
        "expect a pair": _expect_pair,
        "expect a pair, in a flaky check": lambda forge: _expect_pair(forge, flaky=True),
        "base changes the pair": lambda forge: forge.push({PAIR_FILE: THEIR_PAIR}, branch="main"),
        "base is broken": lambda forge: forge.push({"state.txt": "bad\n"}, branch="main"),
        "a service goes down": lambda forge: _expect(forge, CHECK, "README.md", "Shop"),
        "the pair is written anew": lambda forge: forge.push({PAIR_FILE: "new\n"}, branch="main"),
        "the revert's answer is lost": lambda forge: forge.add_fault("^RevertPullRequest$", status=502, after=True),
        "made a revert": _retitle_as_revert,
        # What people do about it.
        "a person opens a revert": _revert_by_button,
        "a person merges that revert": _merge_revert_by_button,
        "a commit reverts it": _revert_by_commit,
        "the revert is squashed without its words": _squash_revert,
        # The end of one that nobody wants.
        "a person comments": lambda forge: forge.act("eve", permission="read", number=forge.pull().number, comment="!"),
        "the closing's answer is lost": lambda forge: forge.add_fault(r"^PATCH .*/pulls/\d+$", status=502, after=True),
    }
)
"""By the name that a life's script has for it."""
