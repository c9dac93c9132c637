"""What a repository and its base branches ask for before a pull request is merged, in GitHub's words."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from squire_forge import store, store_checks, store_labels, store_merging
from squire_forge.records import Account, MergeWish, Pull, Repository
from squire_forge.shapes import mergeable
from squire_forge.world import View

Method = Literal["merge", "squash", "rebase"]


class MergeRules(BaseModel):
    """How a repository lets pull requests be merged, and what all its branches ask for.

    Args:
        methods: Those that it allows.
        auto_merge: Whether GitHub merges by itself what is to be merged once it may be.
        queue: Whether branches change through a merge queue alone; a paused one merges nothing.
        approvals: So many approving reviews by people who may write.
        checks: The checks, by their names, that must have passed on the head.
        up_to_date: Whether a branch must have all commits of its base.
        permission: What the token's owner may do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[Method, ...] = ("merge", "squash")
    auto_merge: bool = False
    queue: Literal["off", "on", "paused"] = "off"
    approvals: int = Field(default=0, ge=0, le=6)
    checks: tuple[str, ...] = ()
    up_to_date: bool = False
    permission: Literal["ADMIN", "MAINTAIN", "WRITE", "TRIAGE", "READ"] = "WRITE"

    @property
    def may_write(self) -> bool:
        """Whether the token's owner may merge at all."""
        return self.permission in {"ADMIN", "MAINTAIN", "WRITE"}


def rules_of(view: View, repository: Repository) -> MergeRules:
    """Return a repository's rules."""
    text = store_merging.rules_text(view.con, repository)
    return MergeRules() if text is None else MergeRules.model_validate_json(text)


def set_rules(view: View, repository: Repository, rules: MergeRules) -> None:
    """Replace a repository's rules."""
    store_merging.set_rules(view.con, repository, rules.model_dump_json())


def what_is_missing(view: View, pull: Pull) -> str | None:
    """Return in GitHub's words what the base branch still asks for; None where it is content."""
    rules = rules_of(view, pull.repository)
    latest = {one.author.id: one for one in store.reviews(view.con, pull) if one.state != "COMMENTED"}.values()
    if rules.approvals and any(one.state == "CHANGES_REQUESTED" for one in latest):
        return "Changes have been requested on this pull request."
    approvals = sum(one.state == "APPROVED" and _may_write(view, pull.repository, one.author) for one in latest)
    if approvals < rules.approvals:
        count = f"{rules.approvals} approving review is" if rules.approvals == 1 else f"{rules.approvals} reviews are"
        return f"At least {count} required by reviewers with write access."
    suite = store_checks.suite(view.con, pull.repository, pull.head_sha)
    runs = {run.name: run.conclusion for run in store_checks.check_runs(view.con, suite)} if suite else {}
    for name in rules.checks:
        if name not in runs:
            return f'Required status check "{name}" is expected.'
        if runs[name] != "success":
            return f'Required status check "{name}" is failing.'
    return None


def is_behind(view: View, pull: Pull) -> bool:
    """Return whether a branch lacks commits of its base, in a repository that does not merge such ones."""
    tip = view.git(pull.repository).branch(pull.base_ref)
    if tip is None or not rules_of(view, pull.repository).up_to_date:
        return False
    return not view.git(pull.repository).is_ancestor(tip, pull.head_sha)


def _may_write(view: View, repository: Repository, account: Account) -> bool:
    return store_labels.permission(view.con, repository, account) in {"admin", "maintain", "write"}


def merge_state(view: View, pull: Pull) -> str:
    """Return GraphQL's `mergeStateStatus`."""
    merges = mergeable(view, pull)
    if not merges:
        return "UNKNOWN" if merges is None else "DIRTY"
    if pull.draft:
        return "DRAFT"
    if what_is_missing(view, pull) is not None:
        return "BLOCKED"
    if is_behind(view, pull):
        return "BEHIND"
    suite = store_checks.suite(view.con, pull.repository, pull.head_sha)
    return "CLEAN" if suite is None or suite.conclusion == "success" else "UNSTABLE"


def due(view: View, repository: Repository) -> Iterator[tuple[Pull, MergeWish]]:
    """Yield the pull requests that somebody asked to merge and that may be merged now."""
    rules = rules_of(view, repository)
    for pull in store.pulls(view.con, repository, state="open"):
        wish = store_merging.wish(view.con, pull)
        if wish is None or merge_state(view, pull) not in {"CLEAN", "UNSTABLE"}:
            continue
        if rules.queue != "paused":
            yield pull, wish
