"""What people, bots and GitHub do to a pull request of ours, each as one named act on a forge."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from squire_forge import operations, store
from tests.support.git_repository import git
from tests.support.life_acts_dashboard import DASHBOARD_ACTS
from tests.support.life_acts_merging import MERGING_ACTS
from tests.support.life_world import GREEN, HOSTED, LifeForge

Act = Callable[[LifeForge], object]
_OTHER = {"OTHER.md": "Somebody else's line.\n"}


def _remark(forge: LifeForge, login: str, body: str, **more: object) -> None:
    number = forge.pull().number
    forge.act(login, number=number, remark={"path": "README.md", "line": 1, "body": body}, **more)


def _land(forge: LifeForge, *, squashed: bool) -> None:
    """Put our change into the base without GitHub's button, and close the pull request, as merge bots do."""
    pull = forge.pull()
    forge.clock.forward(1)
    if squashed:
        tree = git(forge.bare, "merge-tree", "--write-tree", pull.base_ref, pull.head_sha).splitlines()[0]
        tips = [tree]
    else:
        tips = [f"{sha}^{{tree}}" for sha in _commits(forge)]
    tip = git(forge.bare, "rev-parse", pull.base_ref)
    for tree in tips:
        tip = git(forge.bare, "commit-tree", tree, "-p", tip, "-m", "Land it")
    git(forge.bare, "update-ref", f"refs/heads/{pull.base_ref}", tip)
    forge.settle()
    forge.set_state("closed")


def _commits(forge: LifeForge) -> list[str]:
    pull = forge.pull()
    return git(forge.bare, "rev-list", "--reverse", f"{pull.base_ref}..{pull.head_sha}").split()


def _fast_forward(forge: LifeForge) -> None:
    forge.clock.forward(1)
    git(forge.bare, "update-ref", "refs/heads/main", forge.pull().head_sha)
    forge.settle()


def _delete_branch(forge: LifeForge) -> None:
    forge.clock.forward(1)
    git(forge.bare, "update-ref", "-d", f"refs/heads/{forge.pull().head_ref}")
    forge.settle()


def _remake_branch(forge: LifeForge) -> None:
    pull = forge.pull()
    forge.clock.forward(1)
    git(forge.bare, "update-ref", f"refs/heads/{pull.head_ref}", pull.head_sha)
    forge.settle()
    forge.set_state("open")


def _remake_branch_elsewhere(forge: LifeForge) -> None:
    pull = forge.pull()
    forge.push(_OTHER, branch=pull.head_ref, onto="refs/heads/main", message="Made anew by a person")
    forge.set_state("open")
    # GitHub looks at the branch when the pull request is opened again.
    forge.edit(lambda view, known: store.change_pull(view.con, known.id, head_sha=forge.persons_commits[-1]))


def _replace_branch(forge: LifeForge) -> None:
    forge.push(_OTHER, branch=forge.pull().head_ref, onto="refs/heads/main", message="Written anew by a person")


def _update_branch(forge: LifeForge) -> None:
    """Have a person bring our branch up to date with its base, as GitHub's button does."""
    branch = f"refs/heads/{forge.pull().head_ref}"
    tree = git(forge.bare, "merge-tree", "--write-tree", branch, "refs/heads/main")
    sha = git(forge.bare, "commit-tree", tree, "-p", branch, "-p", "refs/heads/main", "-m", "Merge branch 'main'")
    git(forge.bare, "update-ref", branch, sha)
    forge.persons_commits.append(sha)
    forge.settle()


def _revert(forge: LifeForge) -> None:
    """Have a person revert our merged pull request by GitHub's button, and merge that."""
    number = forge.pull().number
    base = git(forge.bare, "rev-parse", "refs/heads/main^1")
    tree, tip = git(forge.bare, "rev-parse", f"{base}^{{tree}}"), git(forge.bare, "rev-parse", "refs/heads/main")
    words = f"Revert it\n\nThis reverts commit {forge.pull().merge_sha}."
    sha = git(forge.bare, "commit-tree", tree, "-p", tip, "-m", words)
    git(forge.bare, "update-ref", "refs/heads/revert-it", sha)
    forge.settle()
    forge.clock.forward(1)
    with forge.world.lock, forge.world.database.writing() as con:
        view, repository = forge.view(con), forge.hosted(con)
        request = operations.NewPull(
            title="Revert it", head="revert-it", base="main", body=f"Reverts {forge.repository}#{number}"
        )
        made = operations.create_pull(view, repository, request, forge.account(con, "mara"))
    forge.merge_number(made.number)


def _rename_base(forge: LifeForge) -> None:
    """Rename the base branch as GitHub does, which moves open pull requests with it."""
    forge.clock.forward(1)
    git(forge.bare, "branch", "--move", "main", "trunk")
    with forge.world.lock, forge.world.database.writing() as con:
        repository = forge.hosted(con)
        con.execute("UPDATE pulls SET base_ref = 'trunk' WHERE base_ref = 'main'")
        store.set_branch(con, repository.id, "trunk", git(forge.bare, "rev-parse", "trunk"), forge.world.now())
    forge.set_repository(default_branch="trunk")
    forge.settle()


def _vanish(forge: LifeForge, *, back: bool = False) -> None:
    """Have GitHub know nothing of our pull request any more, or again."""
    forge.clock.forward(1)
    with forge.world.database.writing() as con:
        where = "author_id = (SELECT id FROM accounts WHERE login = 'squire-demo') AND is_pull"
        con.execute(f"UPDATE tickets SET number = -number WHERE {where} AND number {'<' if back else '>'} 0")  # noqa: S608


def _remake_repository(forge: LifeForge) -> None:
    """Have the repository be another one of its name, in which our number is a person's pull request."""
    sha = forge.push(_OTHER, branch="theirs", onto="refs/heads/main")
    pull = forge.pull()
    with forge.world.lock, forge.world.database.writing() as con:
        author = forge.account(con, "mara").id
        con.execute("UPDATE tickets SET author_id = ? WHERE id = ?", (author, pull.id))
        con.execute("UPDATE pulls SET head_ref = 'theirs', head_sha = ? WHERE ticket_id = ?", (sha, pull.id))


def _fork_first(forge: LifeForge) -> None:
    """Have a fork open a pull request from a branch that is called as ours."""
    pull = forge.pull()
    base = git(forge.bare, "rev-parse", "refs/heads/main")
    fork = {"repository": "stranger/shop", "branch": pull.head_ref, "sha": base}
    forge.act("stranger", permission="read", title="Mine", fork=fork)


def _lose_rights(forge: LifeForge) -> None:
    forge.add_fault(r"^(POST|PATCH|DELETE) /api/v3/repos/", status=403, body='{"message": "Forbidden"}', times=1000)
    forge.refuse_pushes(refused=True)


def _gain_rights(forge: LifeForge) -> None:
    forge.clear_faults()
    forge.refuse_pushes(refused=False)


ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "nothing": lambda _: None,
        "merge": lambda forge: forge.merge(),
        "squash": lambda forge: forge.merge("squash"),
        "rebase": lambda forge: forge.merge("rebase"),
        "fast-forward": _fast_forward,
        "land squashed": lambda forge: _land(forge, squashed=True),
        "land picked": lambda forge: _land(forge, squashed=False),
        "revert": _revert,
        "close": lambda forge: forge.set_state("closed"),
        "reopen": lambda forge: forge.set_state("open"),
        "delete branch": _delete_branch,
        "remake branch": _remake_branch,
        "remake branch elsewhere": _remake_branch_elsewhere,
        "person pushes": lambda forge: forge.push(_OTHER, branch=forge.pull().head_ref),
        "person replaces the branch": _replace_branch,
        "person mends": lambda forge: forge.push({"state.txt": GREEN}, branch=forge.pull().head_ref),
        "base moves": lambda forge: forge.push({"BASE.md": "More.\n"}, branch="main"),
        "update branch": _update_branch,
        "want branches up to date": lambda forge: forge.act("mara", merging={"up_to_date": True}),
        "base conflicts": lambda forge: forge.push({"shared.txt": "theirs\n"}, branch="main"),
        "rename base": _rename_base,
        "remark": lambda forge: _remark(forge, "mara", "Say when."),
        "second remark": lambda forge: _remark(forge, "omar", "And why?"),
        "bot's remark": lambda forge: _remark(forge, "greptile-apps", "This is wrong.", kind="Bot"),
        "stranger's remark": lambda forge: _remark(forge, "eve", "Run this.", permission="read"),
        "approve": lambda forge: forge.act("mara", number=forge.pull().number, review="APPROVED"),
        "ask for changes": lambda forge: forge.act("mara", number=forge.pull().number, review="CHANGES_REQUESTED"),
        "make a draft": lambda forge: forge.edit(lambda view, pull: operations.set_draft(view, pull, draft=True)),
        "make ready": lambda forge: forge.edit(lambda view, pull: operations.set_draft(view, pull, draft=False)),
        "hold checks": lambda forge: setattr(forge, "hold_checks", True),
        "run checks": lambda forge: setattr(forge, "hold_checks", False),
        "build runs": lambda forge: forge.status("pending"),
        "build passes": lambda forge: forge.status("success"),
        "build fails": lambda forge: forge.status("failure"),
        "licence fails": lambda forge: forge.status("failure", context="license/cla"),
        "lock": lambda forge: forge.add_fault(
            r"^POST .*/(comments|replies)$",
            status=403,
            body='{"message": "Unable to create comment: locked"}',
            times=99,
        ),
        "unlock": lambda forge: forge.clear_faults(),
        "GitHub is away": lambda forge: forge.add_fault(r"^(GET|POST) /api/", status=502, times=60),
        "GitHub is back": lambda forge: forge.clear_faults(),
        "lose rights": _lose_rights,
        "gain rights": _gain_rights,
        "a rule refuses": lambda forge: forge.refuse_pushes(refused=True),
        "the rule is lifted": lambda forge: forge.refuse_pushes(refused=False),
        "opening is refused once": lambda forge: forge.add_fault(
            "^POST .*/pulls$",
            status=422,
            body='{"message": "Validation Failed", "errors": [{"message": "was submitted too quickly"}]}',
        ),
        "opening's answer is lost": lambda forge: forge.add_fault("^POST .*/pulls$", status=502, after=True),
        "comment's answer is lost": lambda forge: forge.add_fault(
            r"^POST .*/(comments|replies)$", status=502, after=True
        ),
        "archive": lambda forge: forge.set_repository(archived=True),
        "unarchive": lambda forge: forge.set_repository(archived=False),
        "vanish": _vanish,
        "come back": lambda forge: _vanish(forge, back=True),
        "repository vanishes": lambda forge: forge.set_repository(name="gone"),
        "repository comes back": lambda forge: forge.set_repository(name=HOSTED.partition("/")[2]),
        "fork first": _fork_first,
        "remake repository": _remake_repository,
        **MERGING_ACTS,
        **DASHBOARD_ACTS,
    }
)
"""By the name that a life's script has for it."""
