"""The REST bodies of accounts, repositories, issues and pull requests, as in GitHub's OpenAPI description."""

from squire_forge import store
from squire_forge.git import GitDirectory
from squire_forge.records import (
    Account,
    CheckRun,
    Comment,
    CommitStatus,
    Label,
    Pull,
    Repository,
    ThreadComment,
    Ticket,
)
from squire_forge.urls import pull_urls, repository_urls, user_urls
from squire_forge.world import View, World, node_id

JsonObject = dict[str, object]
_FIRST_FORK = 1_000_000


def api_url(world: World) -> str:
    """Return the address of REST."""
    return f"{world.config.web_url}/api/v3"


def account_shape(view: View, account: Account) -> JsonObject:
    """Return a simple user. REST appends `[bot]` to a bot's login, GraphQL does not."""
    login = f"{account.login}[bot]" if account.kind == "Bot" else account.login
    return {
        "login": login,
        "id": account.id,
        "node_id": node_id(account.kind, account.id),
        **user_urls(view.world.config.web_url, api_url(view.world), login),
        "type": account.kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def viewer_shape(view: View, account: Account) -> JsonObject:
    """Return the public profile of `GET /user`."""
    empty = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio", "twitter_username"))
    return {
        **account_shape(view, account),
        **empty,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": account.created_at,
        "updated_at": account.created_at,
    }


def repository_shape(view: View, repository: Repository) -> JsonObject:
    """Return a repository as it appears inside other bodies."""
    opened = view.con.execute(
        "SELECT COUNT(*) FROM tickets WHERE repository_id = ? AND state = 'open'", (repository.id,)
    ).fetchone()[0]
    return {
        "id": repository.id,
        "node_id": node_id("Repository", repository.id),
        "name": repository.name,
        "full_name": repository.full_name,
        "owner": account_shape(view, repository.owner),
        "private": repository.private,
        "description": repository.description,
        "fork": False,
        **repository_urls(view.world.config.web_url, api_url(view.world), repository.full_name),
        "created_at": repository.created_at,
        "updated_at": repository.updated_at,
        "pushed_at": repository.pushed_at,
        "homepage": None,
        "size": 1,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": None,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": True,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": repository.archived,
        "disabled": False,
        "open_issues_count": opened,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if repository.private else "public",
        "forks": 0,
        "open_issues": opened,
        "watchers": 0,
        "default_branch": repository.default_branch,
    }


def full_repository_shape(view: View, repository: Repository) -> JsonObject:
    """Return a repository as `GET /repos/{owner}/{repo}` shows it."""
    return {
        **repository_shape(view, repository),
        "permissions": {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True},
        "allow_merge_commit": True,
        "allow_squash_merge": True,
        "allow_rebase_merge": False,
        "network_count": 0,
        "subscribers_count": 0,
    }


def label_shape(view: View, repository: Repository, label: Label) -> JsonObject:
    """Return a label."""
    return {
        "id": label.id,
        "node_id": node_id("Label", label.id),
        "url": f"{api_url(view.world)}/repos/{repository.full_name}/labels/{label.name}",
        "name": label.name,
        "color": label.color,
        "default": False,
        "description": "",
    }


def mergeable(view: View, pull: Pull) -> bool | None:
    """Return whether it merges without conflicts; None when it is closed or its base is gone."""
    tip = store.branches(view.con, pull.repository.id).get(pull.base_ref)
    if pull.state != "open" or tip is None:
        return None
    return view.git(pull.repository).merged_tree(tip, pull.head_sha) is not None


def pull_commits(git: GitDirectory, pull: Pull) -> tuple[str, ...]:
    """Return the commits that the pull request brings, oldest first."""
    return git.commits_between(pull.base_sha, pull.head_sha)


def head_label(pull: Pull) -> str:
    """Return how lists name the pull request's branch, `owner:branch`."""
    owner = pull.repository.owner.login if pull.fork is None else pull.fork.partition("/")[0]
    return f"{owner}:{pull.head_ref}"


def _side(view: View, pull: Pull, ref: str, sha: str) -> JsonObject:
    owner = account_shape(view, pull.repository.owner)
    repo = {
        **repository_shape(view, pull.repository),
        "allow_squash_merge": True,
        "allow_merge_commit": True,
        "allow_rebase_merge": False,
        "allow_auto_merge": False,
        "delete_branch_on_merge": False,
        "allow_update_branch": False,
        "use_squash_pr_title_as_default": False,
        "squash_merge_commit_message": "COMMIT_MESSAGES",
        "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
        "merge_commit_message": "PR_TITLE",
        "merge_commit_title": "MERGE_MESSAGE",
    }
    return {"label": f"{pull.repository.owner.login}:{ref}", "ref": ref, "sha": sha, "user": owner, "repo": repo}


def _head(view: View, pull: Pull) -> JsonObject:
    side = _side(view, pull, pull.head_ref, pull.head_sha)
    repo = side["repo"]
    if pull.fork is None or not isinstance(repo, dict):
        return side
    urls = repository_urls(view.world.config.web_url, api_url(view.world), pull.fork)
    of_fork = {"id": _FIRST_FORK + pull.repository.id, "full_name": pull.fork, "name": pull.fork.partition("/")[2]}
    return {**side, "label": head_label(pull), "repo": {**repo, **of_fork, "fork": True, **urls}}


def simple_pull_shape(view: View, pull: Pull) -> JsonObject:
    """Return a pull request as lists show it."""
    world, full_name = view.world, pull.repository.full_name
    return {
        "id": pull.id,
        "node_id": node_id("PullRequest", pull.id),
        **pull_urls(world.config.web_url, api_url(world), full_name, pull.number, pull.head_sha),
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "title": pull.title,
        "user": account_shape(view, pull.author),
        "body": pull.body or None,
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.merge_sha,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [label_shape(view, pull.repository, label) for label in store.labels(view.con, pull.id)],
        "milestone": None,
        "draft": pull.draft,
        "head": _head(view, pull),
        "base": _side(view, pull, pull.base_ref, pull.base_sha),
        "author_association": pull.association,
        "auto_merge": None,
        "active_lock_reason": None,
    }


def pull_shape(view: View, pull: Pull) -> JsonObject:
    """Return a single pull request with all its fields."""
    git = view.git(pull.repository)
    stat = git.diff_stat(pull.base_sha, pull.head_sha)
    can_merge = mergeable(view, pull)
    threads = store.threads(view.con, pull)
    return {
        **simple_pull_shape(view, pull),
        "merged": pull.merged,
        "mergeable": can_merge,
        "rebaseable": can_merge,
        "mergeable_state": {True: "clean", False: "dirty", None: "unknown"}[can_merge],
        "merged_by": None if pull.merged_by is None else account_shape(view, store.account(view.con, pull.merged_by)),
        "comments": len(store.comments(view.con, pull)),
        "review_comments": sum(len(store.thread_comments(view.con, thread)) for thread in threads),
        "maintainer_can_modify": False,
        "commits": len(pull_commits(git, pull)),
        "additions": stat.additions,
        "deletions": stat.deletions,
        "changed_files": stat.files,
    }


def issue_shape(view: View, ticket: Ticket) -> JsonObject:
    """Return an issue."""
    full_name = ticket.repository.full_name
    base = f"{api_url(view.world)}/repos/{full_name}"
    own = f"{base}/issues/{ticket.number}"
    names = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {
        "url": own,
        "repository_url": base,
        "labels_url": f"{own}/labels{{/name}}",
        "comments_url": f"{own}/comments",
        "events_url": f"{own}/events",
        "html_url": ticket_page(view.world, ticket),
        "id": ticket.id,
        "node_id": node_id("Issue", ticket.id),
        "number": ticket.number,
        "title": ticket.title,
        "user": account_shape(view, ticket.author),
        "labels": [label_shape(view, ticket.repository, label) for label in store.labels(view.con, ticket.id)],
        "state": ticket.state,
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": len(store.comments(view.con, ticket)),
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at,
        "closed_at": ticket.closed_at,
        "author_association": ticket.association,
        "active_lock_reason": None,
        "body": ticket.body or None,
        "draft": False,
        "reactions": {"url": f"{own}/reactions", "total_count": 0, **dict.fromkeys(names, 0)},
    }


def comment_shape(view: View, comment: Comment) -> JsonObject:
    """Return a comment below an issue or a pull request."""
    base = f"{api_url(view.world)}/repos/{comment.ticket.repository.full_name}"
    return {
        "id": comment.id,
        "node_id": node_id("IssueComment", comment.id),
        "url": f"{base}/issues/comments/{comment.id}",
        "html_url": f"{ticket_page(view.world, comment.ticket)}#issuecomment-{comment.id}",
        "body": comment.body,
        "user": account_shape(view, comment.author),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "issue_url": f"{base}/issues/{comment.ticket.number}",
        "author_association": "CONTRIBUTOR",
        "performed_via_github_app": None,
    }


def remark_shape(view: View, comment: ThreadComment, *, in_reply_to: ThreadComment) -> JsonObject:
    """Return a comment of a review thread, which answers another."""
    thread = comment.thread
    pull = f"{api_url(view.world)}/repos/{thread.pull.repository.full_name}/pulls/{thread.pull.number}"
    return {
        "id": comment.id,
        "node_id": node_id("PullRequestReviewComment", comment.id),
        "url": f"{pull.rpartition('/')[0]}/comments/{comment.id}",
        "html_url": f"{ticket_page(view.world, thread.pull)}#discussion_r{comment.id}",
        "pull_request_url": pull,
        "pull_request_review_id": None,
        "body": comment.body,
        "path": thread.path,
        "diff_hunk": "",
        "commit_id": comment.commit_sha,
        "original_commit_id": thread.commit_sha,
        "in_reply_to_id": in_reply_to.id,
        "user": account_shape(view, comment.author),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "author_association": "CONTRIBUTOR",
        "_links": {
            "self": {"href": f"{pull.rpartition('/')[0]}/comments/{comment.id}"},
            "html": {"href": f"{ticket_page(view.world, thread.pull)}#discussion_r{comment.id}"},
            "pull_request": {"href": pull},
        },
    }


def ticket_page(world: World, ticket: Ticket) -> str:
    """Return the web page of an issue or a pull request."""
    kind = "pull" if isinstance(ticket, Pull) else "issues"
    return f"{world.config.web_url}/{ticket.repository.full_name}/{kind}/{ticket.number}"


def check_run_shape(
    view: View, run: CheckRun, *, suite: JsonObject, app: JsonObject | None, pulls: list[JsonObject]
) -> JsonObject:
    """Return a check run; REST and webhooks tell more or less of its suite, its App and its pull requests."""
    name = run.suite.repository.full_name
    base = f"{api_url(view.world)}/repos/{name}/check-runs/{run.id}"
    page = f"{view.world.config.web_url}/{name}/runs/{run.id}"
    return {
        "id": run.id,
        "node_id": node_id("CheckRun", run.id),
        "head_sha": run.suite.sha,
        "external_id": run.external_id,
        "url": base,
        "html_url": page,
        "details_url": run.details_url or page,
        "status": "completed",
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": 0,
            "annotations_url": f"{base}/annotations",
        },
        "name": run.name,
        "check_suite": suite,
        "app": app,
        "pull_requests": pulls,
    }


def status_shape(view: View, status: CommitStatus) -> JsonObject:
    """Return a status of a commit."""
    base = f"{api_url(view.world)}/repos/{status.repository.full_name}"
    return {
        "url": f"{base}/statuses/{status.sha}",
        "id": status.id,
        "node_id": node_id("StatusContext", status.id),
        "state": status.state.lower(),
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "avatar_url": None,
        "created_at": status.created_at,
        "updated_at": status.created_at,
    }
