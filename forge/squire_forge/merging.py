"""Merging at a client's request: at once, by auto-merge, in a merge queue; and pull requests that revert.

RefusedError has GitHub's own words and, where it is not 405, the status of REST.
"""

from typing import Literal

from squire_forge import events, operations, settling, store, store_merging
from squire_forge.errors import RefusedError
from squire_forge.git import Person
from squire_forge.merge_rules import Method, is_behind, merge_state, rules_of, what_is_missing
from squire_forge.records import Account, Pull, Repository
from squire_forge.world import View, World

_METHOD_NAMES = {"merge": "Merge commits", "squash": "Squash merges", "rebase": "Rebase merges"}
_ENDS = {"auto": "auto_merge_disabled", "queue": "dequeued"}
_BEGINNINGS = {"auto": "auto_merge_enabled", "queue": "enqueued"}


def merge_pull(world: World, repository: Repository, number: int, request: operations.MergeRequest) -> str:
    """Merge at a client's request and return the merge commit.

    Raises RefusedError with GitHub's message when it cannot be merged (405), when the head is not the one that the
    client saw (409), or when the token's owner may not (403).
    """
    with world.lock:
        settling.announce(world, repository.id)
        with world.database.writing() as con:
            view = View(world, con)
            pull, by = operations.find_pull(view, repository, number), operations.viewer(view)
            rules = rules_of(view, repository)
            if not rules.may_write:
                raise RefusedError("Resource not accessible by personal access token", status=403)
            if pull.state != "open" or pull.draft:
                raise RefusedError("Pull Request is not mergeable")
            if request.merge_method not in rules.methods:
                raise RefusedError(f"{_METHOD_NAMES[request.merge_method]} are not allowed on this repository.")
            if request.sha is not None and request.sha != pull.head_sha:
                raise RefusedError("Head branch was modified. Review and try the merge again.", status=409)
            # An administrator's merge passes by what a branch asks for, unless that holds for administrators too.
            if rules.permission != "ADMIN" and (missing := what_is_missing(view, pull)) is not None:
                raise RefusedError(missing)
            if rules.permission != "ADMIN" and is_behind(view, pull):
                raise RefusedError("Head branch is out of date. Review and try the merge again.")
            if rules.queue != "off":
                raise RefusedError("Changes must be made through the merge queue")
        settling.merge(
            world,
            pull,
            by,
            method=request.merge_method,
            title=request.commit_title,
            message=request.commit_message,
        )
        with world.database.reading() as con:
            return operations.find_pull(View(world, con), repository, number).merge_sha or ""


def ask(view: View, pull: Pull, kind: Literal["auto", "queue"], *, method: Method, head: str | None) -> Pull:
    """Have a pull request merged by itself once it may be (`auto`), or in its turn (`queue`)."""
    rules, by = rules_of(view, pull.repository), operations.viewer(view)
    if not rules.may_write:
        raise RefusedError("Resource not accessible by personal access token", status=403)
    if pull.state != "open" or pull.draft:
        raise RefusedError("Pull request is in draft or closed state")
    if head is not None and head != pull.head_sha:
        raise RefusedError("Head branch was modified. Review and try the merge again.")
    if store_merging.wish(view.con, pull) is not None:
        raise RefusedError("Pull request is already going to be merged")
    refusal = _why_not_by_itself(view, pull, method) if kind == "auto" else _why_not_queued(view, pull)
    if refusal is not None:
        raise RefusedError(refusal)
    store_merging.add_wish(view.con, pull, kind, method=method, by=by, now=view.world.now())
    return _touched(view, pull, _BEGINNINGS[kind], by)


def _why_not_by_itself(view: View, pull: Pull, method: Method) -> str | None:
    rules, state = rules_of(view, pull.repository), merge_state(view, pull)
    if not rules.auto_merge:
        return "Auto merge is not allowed for this repository"
    if state in {"CLEAN", "UNSTABLE"} and rules.queue == "off":
        return f"Pull request is in {state.lower()} status"
    return None if method in rules.methods else f"{_METHOD_NAMES[method]} are not allowed on this repository."


def _why_not_queued(view: View, pull: Pull) -> str | None:
    if rules_of(view, pull.repository).queue == "off":
        return "The merge queue is not enabled for this branch"
    return what_is_missing(view, pull)


def end(view: View, pull: Pull, actor: Account, reason: str) -> Pull:
    """End the request to merge a pull request: somebody disables it, or the queue drops it."""
    wish = store_merging.wish(view.con, pull)
    if wish is None:
        raise RefusedError("Pull request is not going to be merged")
    store_merging.remove_wish(view.con, pull)
    store_merging.add_end(view.con, pull, wish.kind, actor=actor, reason=reason, now=view.world.now())
    return _touched(view, pull, _ENDS[wish.kind], actor, reason=reason)


def _touched(view: View, pull: Pull, action: str, sender: Account, **extra: object) -> Pull:
    store.touch_ticket(view.con, pull.id, view.world.now())
    fresh = operations.find_pull(view, pull.repository, pull.number)
    events.emit_pull(view, action, fresh, sender, **extra)
    view.world.touch(pull.repository.id)
    return fresh


def revert(
    view: View,
    pull: Pull,
    *,
    title: str | None = None,
    body: str | None = None,
    draft: bool = False,
    by: Account | None = None,
) -> Pull:
    """Open a pull request that takes a merged one back, as GitHub's button does; by default for the token's owner."""
    git, base = view.git(pull.repository), pull.base_ref
    tip = git.branch(base)
    if not pull.merged or pull.merge_sha is None or tip is None:
        raise RefusedError("Pull request is not merged")
    tree = git.reverted_tree(tip, pull.merge_sha)
    branch = f"revert-{pull.number}-{pull.head_ref}"
    if tree is None or git.branch(branch) is not None:
        raise RefusedError("This pull request could not be reverted automatically")
    by = by or operations.viewer(view)
    author = Person(by.login, f"{by.login}@users.noreply.forge.invalid", view.world.now())
    heading = title or f'Revert "{pull.title}"'
    words = f'Revert "{pull.title}"\n\nThis reverts commit {pull.merge_sha}.'
    git.update_ref(f"refs/heads/{branch}", git.commit_tree(tree, (tip,), words, author), "0" * 40)
    text = body if body is not None else f"Reverts {pull.repository.full_name}#{pull.number}"
    request = operations.NewPull(title=heading, head=branch, base=base, body=text, draft=draft)
    made = operations.create_pull(view, pull.repository, request, by)
    view.world.touch(pull.repository.id)
    return made
