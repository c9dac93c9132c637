"""GraphQL resolvers of merging: a repository's methods, auto-merge, merge queues, reverts."""

from collections.abc import Callable
from typing import Any

from squire_forge import merging, operations, store, store_merging
from squire_forge.errors import RefusedError
from squire_forge.graph_core import Context, ForbiddenRequestError, UnprocessableRequestError, on
from squire_forge.graph_tickets import pull_of_node
from squire_forge.merge_rules import merge_state, rules_of
from squire_forge.records import Account, MergeWish, MergeWishEnd, Pull, Repository
from squire_forge.world import node_id

_FORBIDDEN = 403


@on("Repository", "viewerPermission")
def _viewer_permission(repository: Repository, context: Context) -> str:
    return rules_of(context.view, repository).permission


@on("Repository", "autoMergeAllowed")
def _auto_merge_allowed(repository: Repository, context: Context) -> bool:
    return rules_of(context.view, repository).auto_merge


@on("Repository", "mergeCommitAllowed")
def _merge_allowed(repository: Repository, context: Context) -> bool:
    return "merge" in rules_of(context.view, repository).methods


@on("Repository", "squashMergeAllowed")
def _squash_allowed(repository: Repository, context: Context) -> bool:
    return "squash" in rules_of(context.view, repository).methods


@on("Repository", "rebaseMergeAllowed")
def _rebase_allowed(repository: Repository, context: Context) -> bool:
    return "rebase" in rules_of(context.view, repository).methods


@on("PullRequest", "mergeStateStatus")
def _merge_state(pull: Pull, context: Context) -> str:
    return merge_state(context.view, pull)


@on("PullRequest", "reviewDecision")
def _review_decision(pull: Pull, context: Context) -> str | None:
    latest = {review.author.id: review.state for review in store.reviews(context.view.con, pull)}.values()
    states = list(latest)
    if "CHANGES_REQUESTED" in states:
        return "CHANGES_REQUESTED"
    if states.count("APPROVED") < rules_of(context.view, pull.repository).approvals:
        return "REVIEW_REQUIRED"
    return "APPROVED" if "APPROVED" in states else None


@on("PullRequest", "mergedBy")
def _merged_by(pull: Pull, context: Context) -> Account | None:
    return None if pull.merged_by is None else store.account(context.view.con, pull.merged_by)


@on("PullRequest", "viewerCanEnableAutoMerge")
def _can_enable(pull: Pull, context: Context) -> bool:
    rules = rules_of(context.view, pull.repository)
    return rules.auto_merge and rules.may_write and pull.state == "open"


@on("PullRequest", "isMergeQueueEnabled")
def _has_queue(pull: Pull, context: Context) -> bool:
    return rules_of(context.view, pull.repository).queue != "off"


def _wish(pull: Pull, context: Context, kind: str) -> MergeWish | None:
    wish = store_merging.wish(context.view.con, pull)
    return wish if wish is not None and wish.kind == kind else None


@on("PullRequest", "isInMergeQueue")
def _in_queue(pull: Pull, context: Context) -> bool:
    return _wish(pull, context, "queue") is not None


@on("PullRequest", "mergeQueueEntry")
def _queue_entry(pull: Pull, context: Context) -> MergeWish | None:
    return _wish(pull, context, "queue")


@on("PullRequest", "autoMergeRequest")
def _auto_merge(pull: Pull, context: Context) -> MergeWish | None:
    return _wish(pull, context, "auto")


@on("AutoMergeRequest", "enabledAt")
@on("MergeQueueEntry", "enqueuedAt")
def _asked_at(wish: MergeWish, _: Context) -> str:
    return wish.created_at


@on("AutoMergeRequest", "enabledBy")
@on("MergeQueueEntry", "enqueuer")
def _asked_by(wish: MergeWish, _: Context) -> Account:
    return wish.by


@on("AutoMergeRequest", "mergeMethod")
def _method(wish: MergeWish, _: Context) -> str:
    return wish.method.upper()


@on("MergeQueueEntry", "position")
def _position(_: MergeWish, __: Context) -> int:
    return 1


@on("MergeQueueEntry", "state")
def _entry_state(_: MergeWish, __: Context) -> str:
    return "QUEUED"


@on("AutoMergeDisabledEvent", "id")
@on("RemovedFromMergeQueueEvent", "id")
def _end_id(event: MergeWishEnd, _: Context) -> str:
    return node_id("MergeRequestEnd", event.id)


def _refusable(act: Callable[[], Pull]) -> Pull:
    try:
        return act()
    except RefusedError as error:
        kind = ForbiddenRequestError if error.status == _FORBIDDEN else UnprocessableRequestError
        raise kind(error.message) from error


@on("Mutation", "enablePullRequestAutoMerge")
def _enable(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    pull, head = pull_of_node(context, input["pullRequestId"]), input.get("expectedHeadOid")
    method = input["mergeMethod"].lower()
    asked = _refusable(lambda: merging.ask(context.view, pull, "auto", method=method, head=head))
    return {"pull_request": asked, "client_mutation_id": input.get("clientMutationId")}


@on("Mutation", "enqueuePullRequest")
def _enqueue(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    pull, head = pull_of_node(context, input["pullRequestId"]), input.get("expectedHeadOid")
    asked = _refusable(lambda: merging.ask(context.view, pull, "queue", method="merge", head=head))
    return {"merge_queue_entry": _wish(asked, context, "queue"), "client_mutation_id": input.get("clientMutationId")}


@on("Mutation", "disablePullRequestAutoMerge")
def _disable(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    pull = pull_of_node(context, input["pullRequestId"])
    viewer = operations.viewer(context.view)
    ended = _refusable(lambda: merging.end(context.view, pull, viewer, "auto-merge was disabled"))
    return {"pull_request": ended, "client_mutation_id": input.get("clientMutationId")}


@on("Mutation", "dequeuePullRequest")
def _dequeue(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    pull = pull_of_node(context, input["id"])
    entry, viewer = _wish(pull, context, "queue"), operations.viewer(context.view)
    _refusable(lambda: merging.end(context.view, pull, viewer, "it was taken out of the queue"))
    return {"merge_queue_entry": entry, "client_mutation_id": input.get("clientMutationId")}


@on("Mutation", "revertPullRequest")
def _revert(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    pull, (title, body) = pull_of_node(context, input["pullRequestId"]), (input.get("title"), input.get("body"))
    draft = bool(input.get("draft"))
    made = _refusable(lambda: merging.revert(context.view, pull, title=title, body=body, draft=draft))
    return {
        "pull_request": pull,
        "revert_pull_request": made,
        "client_mutation_id": input.get("clientMutationId"),
    }
