"""Tasks that resolve a conflict of our own pull request with its base: where they begin, and when they are over."""

import json
from pathlib import Path

from squire_pipelines.domain.tasks import FollowUpKind, TaskSpec
from squire_pipelines.errors import GitError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.files import write_atomically
from squire_pipelines.ledger import outcomes, tasks
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.conflict_start import ConflictStart, begun_merge, conflict_start, remake_start
from squire_pipelines.publishing.git import run_git
from squire_pipelines.publishing.git_merges import AutomaticMerge, parents_of
from squire_pipelines.publishing.mirror import Mirror

_log = get_logger(Component.PIPELINE)

START_FILE = "start.json"
"""Of what is kept of the agent's work: the two sides of the merge that it began with."""


def resolves_conflict(spec: TaskSpec) -> bool:
    """Return whether a task is to resolve a conflict of our own pull request with its base."""
    return spec.follow_up is not None and spec.follow_up.kind is FollowUpKind.CONFLICT


def base_of_conflict(leased: LeasedAttempt) -> str | None:
    """Return the base of the pull request whose conflict the task resolves; None where that is not open any more."""
    with leased.ledger.read() as tx:
        outcome = outcomes.of_branch(tx, leased.task.repository, leased.task.base_branch)
        if outcome is None:
            return None
        return outcome.base_ref or tasks.get(tx, outcome.task_id).base_branch


def start_of_conflict(leased: LeasedAttempt, mirror: Mirror) -> ConflictStart | None:
    """Return where the task begins; None where there is no conflict any more. Raises GitError."""
    base = base_of_conflict(leased)
    return None if base is None else conflict_start(mirror, branch=leased.task.base_branch, base=base)


def why_over(leased: LeasedAttempt, mirror: Mirror) -> str | None:
    """Return why there is nothing for an agent to resolve; None where there is, and for every other task.

    Raises GitError.
    """
    if not resolves_conflict(leased.task.spec):
        return None
    if base_of_conflict(leased) is None:
        return "the pull request is not open any more"
    if start_of_conflict(leased, mirror) is None:
        return "git merges the base by itself by now"
    return None


def merge_of(leased: LeasedAttempt, mirror: Mirror, base_sha: str) -> AutomaticMerge | None:
    """Return the merge that the agent's work began with, at `base_sha`; None for every other task. Raises GitError."""
    return begun_merge(mirror, base_sha) if resolves_conflict(leased.task.spec) and base_sha else None


def branch_head_of(leased: LeasedAttempt, mirror: Mirror, base_sha: str) -> str:
    """Return the head of the task's base branch that work at `base_sha` builds on. Raises GitError."""
    return parents_of(mirror.path, base_sha)[0] if resolves_conflict(leased.task.spec) else base_sha


def keep_start(start: ConflictStart, keep: Path) -> None:
    """Write down what another machine needs to make the commit that the work begins at."""
    sides = {"branch_head": start.merge.branch_head, "base_head": start.merge.base_head, "message": start.message}
    write_atomically(keep / START_FILE, json.dumps(sides).encode(), mode=0o600)


def has_commit(mirror: Mirror, sha: str) -> bool:
    """Return whether a mirror has a commit."""
    try:
        run_git(["cat-file", "-e", f"{sha}^{{commit}}"], git_dir=mirror.path)
    except GitError:
        return False
    return True


def bring_start(mirror: Mirror, base_sha: str, keep: Path) -> None:
    """Make the commit that work of another machine begins at, where this machine's mirror lacks it and can make it.

    Whoever needs the commit finds out whether it is there: the branches may have been rewritten since.
    """
    try:
        sides = json.loads((keep / START_FILE).read_bytes())
    except FileNotFoundError:
        return
    if has_commit(mirror, base_sha):
        return
    try:
        remake_start(mirror, **sides)
    except GitError as error:
        _log.warning("conflict.start_not_made", base_sha=base_sha, reason=str(error))
