"""GraphQL resolvers of pull requests, issues, their comments, reviews and review threads."""

from dataclasses import replace
from typing import Any

from squire_forge import operations, store, store_closings, store_edits, store_labels, store_merging
from squire_forge.connections import page
from squire_forge.graph_core import Commit, Context, NotFoundError, PullCommit, Ref, on, paging
from squire_forge.graph_repositories import pull_state
from squire_forge.records import (
    Account,
    BranchDeletion,
    Closing,
    Comment,
    LabelEvent,
    MergeWishEnd,
    Pull,
    Review,
    Thread,
    ThreadComment,
    Ticket,
    TicketEdit,
)
from squire_forge.shapes import mergeable, pull_commits, ticket_page
from squire_forge.world import VIEWER_LOGIN, node_id

_HUNK_LINES = 4
_Event = LabelEvent | TicketEdit | MergeWishEnd | Closing | BranchDeletion


@on("PullRequest", "state")
def _pull_state(pull: Pull, _: Context) -> str:
    return pull_state(pull)


@on("Issue", "state")
def _issue_state(issue: Ticket, _: Context) -> str:
    return issue.state.upper()


@on("PullRequest", "url")
@on("Issue", "url")
def _ticket_url(ticket: Ticket, context: Context) -> str:
    return ticket_page(context.view.world, ticket)


@on("PullRequest", "isCrossRepository")
def _is_cross_repository(pull: Pull, _: Context) -> bool:
    return pull.fork is not None


@on("PullRequest", "mergeable")
def _mergeable(pull: Pull, context: Context) -> str:
    return {True: "MERGEABLE", False: "CONFLICTING", None: "UNKNOWN"}[mergeable(context.view, pull)]


@on("PullRequest", "mergeCommit")
def _merge_commit(pull: Pull, _: Context) -> Commit | None:
    return Commit(pull.repository, pull.merge_sha) if pull.merge_sha else None


@on("PullRequest", "baseRef")
def _base_ref(pull: Pull, context: Context) -> Ref | None:
    sha = store.branches(context.view.con, pull.repository.id).get(pull.base_ref)
    return Ref(pull.repository, pull.base_ref, sha) if sha else None


@on("PullRequest", "additions")
def _additions(pull: Pull, context: Context) -> int:
    return context.view.git(pull.repository).diff_stat(pull.base_sha, pull.head_sha).additions


@on("PullRequest", "deletions")
def _deletions(pull: Pull, context: Context) -> int:
    return context.view.git(pull.repository).diff_stat(pull.base_sha, pull.head_sha).deletions


@on("PullRequest", "changedFiles")
def _changed_files(pull: Pull, context: Context) -> int:
    return context.view.git(pull.repository).diff_stat(pull.base_sha, pull.head_sha).files


@on("PullRequest", "commits")
def _commits(pull: Pull, context: Context, **arguments: Any) -> Any:
    shas = pull_commits(context.view.git(pull.repository), pull)
    return page([PullCommit(pull, Commit(pull.repository, sha)) for sha in shas], "commits", **paging(arguments))


@on("PullRequestCommit", "id")
def _pull_commit_id(commit: PullCommit, _: Context) -> str:
    return node_id("PullRequestCommit", f"{commit.pull.id}:{commit.commit.oid}")


@on("PullRequest", "labels")
@on("Issue", "labels")
def _labels(ticket: Ticket, context: Context, **arguments: Any) -> Any:
    return page(store.labels(context.view.con, ticket.id), "labels", **paging(arguments))


@on("PullRequest", "comments")
@on("Issue", "comments")
def _comments(ticket: Ticket, context: Context, **arguments: Any) -> Any:
    return page(store.comments(context.view.con, ticket), "comments", **paging(arguments))


@on("PullRequest", "reviews")
def _reviews(pull: Pull, context: Context, **arguments: Any) -> Any:
    states = arguments.get("states")
    reviews = [one for one in store.reviews(context.view.con, pull) if states is None or one.state in states]
    return page(reviews, "reviews", **paging(arguments))


@on("PullRequest", "reviewThreads")
def _review_threads(pull: Pull, context: Context, **arguments: Any) -> Any:
    return page(store.threads(context.view.con, pull), "reviewThreads", **paging(arguments))


@on("PullRequest", "timelineItems")
@on("Issue", "timelineItems")
def _timeline(ticket: Ticket, context: Context, **arguments: Any) -> Any:
    con, types = context.view.con, arguments.get("itemTypes")
    renames = [edit for edit in store_edits.edits(con, ticket) if edit.title is not None]
    merging = store_merging.ends(con, ticket.id)
    history: list[_Event] = [
        *store_labels.events(con, ticket),
        *renames,
        *merging,
        *store_closings.events(con, ticket),
    ]
    history.sort(key=lambda event: event.created_at)
    events = [event for event in history if not types or _item_type(event) in types]
    return page(events, "timelineItems", **paging(arguments))


def _item_type(event: _Event) -> str:
    if isinstance(event, MergeWishEnd):
        return "AUTO_MERGE_DISABLED_EVENT" if event.kind == "auto" else "REMOVED_FROM_MERGE_QUEUE_EVENT"
    if isinstance(event, Closing | BranchDeletion):
        return "CLOSED_EVENT" if isinstance(event, Closing) else "HEAD_REF_DELETED_EVENT"
    if isinstance(event, TicketEdit):
        return "RENAMED_TITLE_EVENT"
    return "UNLABELED_EVENT" if event.removed else "LABELED_EVENT"


@on("Issue", "userContentEdits")
def _text_edits(ticket: Ticket, context: Context, **arguments: Any) -> Any:
    return page(_texts(ticket, context), "userContentEdits", **paging(arguments))


@on("UserContentEdit", "deletedAt")
def _edit_deleted_at(_: TicketEdit, __: Context) -> None:
    return None


@on("Issue", "editor")
def _editor(ticket: Ticket, context: Context) -> Account | None:
    edits = _texts(ticket, context)
    return edits[-1].editor if edits else None


@on("Issue", "lastEditedAt")
def _last_edited_at(ticket: Ticket, context: Context) -> str | None:
    edits = _texts(ticket, context)
    return edits[-1].edited_at if edits else None


def _texts(ticket: Ticket, context: Context) -> list[TicketEdit]:
    return [edit for edit in store_edits.edits(context.view.con, ticket) if edit.body is not None]


@on("Mutation", "markPullRequestReadyForReview")
def _mark_ready(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    return _set_draft(context, input, draft=False)


@on("Mutation", "convertPullRequestToDraft")
def _convert(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    return _set_draft(context, input, draft=True)


def _set_draft(context: Context, arguments: dict[str, Any], *, draft: bool) -> dict[str, Any]:
    changed = operations.set_draft(context.view, pull_of_node(context, arguments["pullRequestId"]), draft=draft)
    return {"pull_request": changed, "client_mutation_id": arguments.get("clientMutationId")}


def pull_of_node(context: Context, node: str) -> Pull:
    """Return the pull request with a global id. Raises NotFoundError."""
    con = context.view.con
    for repository in store.repositories(con):
        for pull in store.pulls(con, repository):
            if node_id("PullRequest", pull.id) == node:
                return pull
    raise NotFoundError(f"Could not resolve to a node with the global id of '{node}'.")


@on("PullRequestReviewThread", "comments")
def _thread_comments(thread: Thread, context: Context, **arguments: Any) -> Any:
    return page(store.thread_comments(context.view.con, thread), "comments", **paging(arguments))


@on("PullRequestReviewComment", "commit")
def _thread_comment_commit(comment: ThreadComment, _: Context) -> Commit:
    return Commit(comment.thread.pull.repository, comment.commit_sha)


@on("PullRequestReview", "commit")
def _review_commit(review: Review, _: Context) -> Commit:
    return Commit(review.pull.repository, review.commit_sha)


@on("IssueComment", "url")
def _comment_url(comment: Comment, context: Context) -> str:
    return f"{ticket_page(context.view.world, comment.ticket)}#issuecomment-{comment.id}"


@on("PullRequestReviewComment", "url")
def _thread_comment_url(comment: ThreadComment, context: Context) -> str:
    return f"{ticket_page(context.view.world, comment.thread.pull)}#discussion_r{comment.id}"


@on("PullRequestReview", "url")
def _review_url(review: Review, context: Context) -> str:
    return f"{ticket_page(context.view.world, review.pull)}#pullrequestreview-{review.id}"


@on("IssueComment", "authorAssociation")
def _comment_author_association(comment: Comment, context: Context) -> str:
    return operations.association(context.view.con, comment.author, comment.ticket.repository)


@on("PullRequestReview", "authorAssociation")
def _review_author_association(review: Review, context: Context) -> str:
    return operations.association(context.view.con, review.author, review.pull.repository)


@on("PullRequestReviewComment", "authorAssociation")
def _comment_association(comment: ThreadComment, context: Context) -> str:
    return operations.association(context.view.con, comment.author, comment.thread.pull.repository)


@on("PullRequestReview", "createdAt")
def _review_created_at(review: Review, _: Context) -> str:
    return review.submitted_at


@on("IssueComment", "editor")
@on("IssueComment", "lastEditedAt")
@on("PullRequestReview", "editor")
@on("PullRequestReview", "lastEditedAt")
def _never_edited(_: Comment | Review, __: Context) -> None:
    return None


@on("IssueComment", "isMinimized")
def _is_minimized(_: Comment, __: Context) -> bool:
    return False


@on("Issue", "viewerDidAuthor")
@on("IssueComment", "viewerDidAuthor")
@on("PullRequestReviewComment", "viewerDidAuthor")
def _viewer_did_author(text: Ticket | Comment | ThreadComment, _: Context) -> bool:
    return text.author.login == VIEWER_LOGIN


@on("PullRequestReviewThread", "viewerCanResolve")
def _viewer_can_resolve(thread: Thread, _: Context) -> bool:
    return not thread.resolved


@on("Mutation", "resolveReviewThread")
def _resolve_thread(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    con = context.view.con
    for pull in (pull for repository in store.repositories(con) for pull in store.pulls(con, repository)):
        for thread in store.threads(con, pull):
            if node_id("PullRequestReviewThread", thread.id) == input["threadId"]:
                store_edits.resolve(con, thread)
                return {"thread": replace(thread, resolved=True), "client_mutation_id": input.get("clientMutationId")}
    raise NotFoundError(f"Could not resolve to a node with the global id of '{input['threadId']}'.")


@on("PullRequestReviewThread", "diffSide")
def _diff_side(_: Thread, __: Context) -> str:
    return "RIGHT"


@on("PullRequestReviewThread", "startLine")
def _start_line(_: Thread, __: Context) -> None:
    return None


@on("PullRequestReviewThread", "originalLine")
def _original_line(thread: Thread, _: Context) -> int | None:
    return thread.line


@on("PullRequestReviewComment", "diffHunk")
def _diff_hunk(comment: ThreadComment, context: Context) -> str:
    thread = comment.thread
    lines = (context.view.git(thread.pull.repository).file(thread.commit_sha, thread.path) or "").splitlines()
    last = thread.line or len(lines)
    shown = lines[max(0, last - _HUNK_LINES) : last]
    first = last - len(shown) + 1
    return "\n".join([f"@@ -{first},0 +{first},{len(shown)} @@", *(f"+{line}" for line in shown)])
