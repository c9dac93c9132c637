"""Webhook payloads as GitHub shapes them, put into the queue that `outbox` sends."""

import json
import uuid
from collections.abc import Iterable

from squire_forge import store_checks
from squire_forge.checks import APP_ID, APP_NAME, APP_SLUG
from squire_forge.git import MAX_COMMITS, ZERO_SHA, GitDirectory, Person
from squire_forge.records import Account, CheckRun, Comment, CommitStatus, Label, Pull, Repository, Suite, Ticket
from squire_forge.shapes import (
    JsonObject,
    account_shape,
    api_url,
    check_run_shape,
    comment_shape,
    issue_shape,
    label_shape,
    pull_shape,
    repository_shape,
)
from squire_forge.store import labels
from squire_forge.store_hooks import hook_state
from squire_forge.urls import repository_urls
from squire_forge.world import HOOK_ID, View, node_id

_LOOKED_AT = 20
_ZEN = "Keep it logically awesome."
_PAYLOAD_COMMITS = 20


def emit(
    view: View, event: str, repository: Repository, sender: Account, content: JsonObject, *, action: str | None = None
) -> None:
    """Queue one webhook in the transaction of `view`; nothing happens when no webhook sends any."""
    if view.world.config.webhook_url is None or not hook_state(view.con, repository.id).sends:
        return
    payload = {
        **({"action": action} if action else {}),
        **content,
        "repository": content.get("repository", _webhook_repository(view, repository)),
        "sender": account_shape(view, sender),
    }
    store_checks.add_delivery(
        view.con,
        guid=str(uuid.uuid4()),
        repository_id=repository.id,
        event=event,
        action=action,
        body=json.dumps(payload, separators=(",", ":")).encode(),
        now=view.world.now(),
    )


def hook_shape(view: View, repository: Repository) -> JsonObject:
    """Return the webhook, and how its last delivery about the repository ended."""
    base = f"{api_url(view.world)}/repos/{repository.full_name}/hooks/{HOOK_ID}"
    newest = store_checks.deliveries(view.con, repository_id=repository.id, limit=_LOOKED_AT)
    last = next((delivery for delivery in newest if delivery.delivered_at is not None), None)
    response: JsonObject = {"code": None, "status": "unused", "message": None}
    if last is not None:
        is_good = last.status == "OK"
        response = {"code": last.status_code, "status": "active" if is_good else "failed", "message": last.status}
    return {
        "type": "Repository",
        "id": HOOK_ID,
        "name": "web",
        "active": hook_state(view.con, repository.id).is_active,
        "events": ["check_run", "check_suite", "issue_comment", "issues", "pull_request", "push"],
        "config": {"content_type": "json", "url": view.world.config.webhook_url, "insecure_ssl": "0"},
        "updated_at": view.world.now(),
        "created_at": view.world.now(),
        "url": base,
        "test_url": f"{base}/test",
        "ping_url": f"{base}/pings",
        "deliveries_url": f"{base}/deliveries",
        "last_response": response,
    }


def emit_ping(view: View, repository: Repository, sender: Account) -> None:
    """Queue the ping that GitHub sends when a webhook is created, and when it is asked to."""
    hook = hook_shape(view, repository)
    emit(view, "ping", repository, sender, {"zen": _ZEN, "hook_id": HOOK_ID, "hook": hook})


def emit_pull(view: View, action: str, pull: Pull, sender: Account, **extra: object) -> None:
    """Queue a pull_request event: opened, closed, reopened, synchronize, edited, labeled."""
    content = {"number": pull.number, "pull_request": pull_shape(view, pull), **extra}
    emit(view, "pull_request", pull.repository, sender, content, action=action)


def emit_issue(view: View, action: str, ticket: Ticket, sender: Account, **extra: object) -> None:
    """Queue an issues event: opened, labeled."""
    emit(view, "issues", ticket.repository, sender, {"issue": issue_shape(view, ticket), **extra}, action=action)


def emit_comment(view: View, action: str, comment: Comment, sender: Account, **extra: object) -> None:
    """Queue an issue_comment event: created, edited. A pull request's issue says that it is one."""
    ticket = comment.ticket
    issue = issue_shape(view, ticket)
    if isinstance(ticket, Pull):
        page = str(issue["html_url"])
        links = {"url": f"{api_url(view.world)}/repos/{ticket.repository.full_name}/pulls/{ticket.number}"}
        links |= {"html_url": page, "diff_url": f"{page}.diff", "patch_url": f"{page}.patch"}
        issue["pull_request"] = {**links, "merged_at": ticket.merged_at}
    content = {"issue": issue, "comment": comment_shape(view, comment), **extra}
    emit(view, "issue_comment", ticket.repository, sender, content, action=action)


def emit_labeled(view: View, ticket: Ticket, names: Iterable[str], sender: Account) -> None:
    """Queue a labeled event for each label that was added."""
    by_name = {label.name.lower(): label for label in labels(view.con, ticket.id)}
    for name in names:
        extra = {"label": label_shape(view, ticket.repository, by_name[name.lower()])}
        if isinstance(ticket, Pull):
            emit_pull(view, "labeled", ticket, sender, **extra)
        else:
            emit_issue(view, "labeled", ticket, sender, **extra)


def emit_unlabeled(view: View, ticket: Ticket, label: Label, sender: Account) -> None:
    """Queue an unlabeled event."""
    extra = {"label": label_shape(view, ticket.repository, label)}
    if isinstance(ticket, Pull):
        emit_pull(view, "unlabeled", ticket, sender, **extra)
    else:
        emit_issue(view, "unlabeled", ticket, sender, **extra)


def emit_review(view: View, pull: Pull, reviewer: Account, state: str) -> None:
    """Queue a pull_request_review event: submitted."""
    shape = {
        "state": state.lower(),
        "user": account_shape(view, reviewer),
        "commit_id": pull.head_sha,
        "submitted_at": view.world.now(),
    }
    content = {"review": shape, "pull_request": pull_shape(view, pull)}
    emit(view, "pull_request_review", pull.repository, reviewer, content, action="submitted")


def emit_push(
    view: View, repository: Repository, branch: str, before: str | None, after: str | None, *, pusher: Account
) -> None:
    """Queue a push event; `before` or `after` is None when the branch is created or deleted."""
    git = view.git(repository)
    old, new = before or ZERO_SHA, after or ZERO_SHA
    page = f"{view.world.config.web_url}/{repository.full_name}"
    shas = _pushed_commits(git, before, after, repository)
    commits = [_commit(page, git, sha) for sha in shas]
    owner = account_shape(view, repository.owner)
    owner.update(name=repository.owner.login, email=_email(repository.owner))
    content = {
        "ref": f"refs/heads/{branch}",
        "before": old,
        "after": new,
        "created": before is None,
        "deleted": after is None,
        "forced": bool(before and after and not git.is_ancestor(before, after)),
        "base_ref": None,
        "compare": f"{page}/compare/{old[:12]}...{new[:12]}",
        "commits": commits,
        "head_commit": _commit(page, git, after) if after else None,
        "repository": {
            **_webhook_repository(view, repository),
            "owner": owner,
            "url": page,
            "stargazers": 0,
            "master_branch": repository.default_branch,
        },
        "pusher": {"name": pusher.login, "email": _email(pusher)},
    }
    emit(view, "push", repository, pusher, content)


def emit_check_run(view: View, run: CheckRun, pulls: Iterable[Pull], sender: Account) -> None:
    """Queue a check_run event: completed."""
    app = _app(view) | ({"slug": run.suite.app, "name": run.suite.app} if run.suite.app else {})
    linked = [_linked_pull(view, pull) for pull in pulls]
    content = check_run_shape(view, run, suite=_suite(view, run.suite, linked, app), app=app, pulls=linked)
    emit(view, "check_run", run.suite.repository, sender, {"check_run": content}, action="completed")


def emit_status(view: View, status: CommitStatus, sender: Account) -> None:
    """Queue a status event, which has no action."""
    repository, commit = status.repository, view.git(status.repository).commit(status.sha)
    api = f"{api_url(view.world)}/repos/{repository.full_name}"
    page = f"{view.world.config.web_url}/{repository.full_name}/commit/{status.sha}"
    made = {"name": commit.author.name, "email": commit.author.email, "date": commit.author.date}
    git_commit = {
        "author": made,
        "committer": made,
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": f"{api}/git/trees/{commit.tree}"},
        "url": f"{api}/git/commits/{status.sha}",
        "comment_count": 0,
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "payload": None,
            "signature": None,
            "verified_at": None,
        },
    }
    content: JsonObject = {
        "id": status.id,
        "sha": status.sha,
        "name": repository.full_name,
        "target_url": status.target_url,
        "avatar_url": None,
        "context": status.context,
        "description": status.description,
        "state": status.state,
        "commit": {
            "sha": status.sha,
            "node_id": node_id("Commit", f"{repository.id}:{status.sha}"),
            "commit": git_commit,
            "url": f"{api}/commits/{status.sha}",
            "html_url": page,
            "comments_url": f"{api}/commits/{status.sha}/comments",
            "author": account_shape(view, sender),
            "committer": account_shape(view, sender),
            "parents": [],
        },
        "branches": [],
        "created_at": status.created_at,
        "updated_at": status.created_at,
    }
    emit(view, "status", repository, sender, content)


def emit_check_suite(view: View, suite: Suite, pulls: Iterable[Pull], sender: Account) -> None:
    """Queue a check_suite event: completed."""
    linked = [_linked_pull(view, pull) for pull in pulls]
    commit = view.git(suite.repository).commit(suite.sha)
    content = {
        **_suite(view, suite, linked, _app(view)),
        "latest_check_runs_count": len(store_checks.check_runs(view.con, suite)),
        "check_runs_url": f"{_suite_url(view, suite)}/check-runs",
        "head_commit": {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": commit.committer.date,
            "author": {"name": commit.author.name, "email": commit.author.email},
            "committer": {"name": commit.committer.name, "email": commit.committer.email},
        },
    }
    emit(view, "check_suite", suite.repository, sender, {"check_suite": content}, action="completed")


def _webhook_repository(view: View, repository: Repository) -> JsonObject:
    left_out = {"allow_forking", "has_discussions"}
    shape = {key: value for key, value in repository_shape(view, repository).items() if key not in left_out}
    return {**shape, "custom_properties": {}}


def _email(account: Account) -> str:
    return f"{account.login}@users.noreply.forge.invalid"


def _pushed_commits(
    git: GitDirectory, before: str | None, after: str | None, repository: Repository
) -> tuple[str, ...]:
    if after is None:
        return ()
    base = before
    if base is None:
        default = git.branch(repository.default_branch)
        base = default if default != after else None
    if base is None or git.merge_base(base, after) is None:
        return (after,)
    return git.commits_between(base, after)[-min(_PAYLOAD_COMMITS, MAX_COMMITS) :]


def _person(person: Person) -> JsonObject:
    return {"name": person.name, "email": person.email, "username": person.email.split("@")[0]}


def _commit(page: str, git: GitDirectory, sha: str) -> JsonObject:
    commit, changes = git.commit(sha), git.file_changes(sha)
    return {
        "id": sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.committer.date,
        "url": f"{page}/commit/{sha}",
        "author": _person(commit.author),
        "committer": _person(commit.committer),
        "added": list(changes.added),
        "removed": list(changes.removed),
        "modified": list(changes.modified),
    }


def _linked_pull(view: View, pull: Pull) -> JsonObject:
    url = str(repository_urls(view.world.config.web_url, api_url(view.world), pull.repository.full_name)["url"])
    repo = {"id": pull.repository.id, "url": url, "name": pull.repository.name}
    return {
        "url": f"{url}/pulls/{pull.number}",
        "id": pull.id,
        "number": pull.number,
        "head": {"ref": pull.head_ref, "sha": pull.head_sha, "repo": repo},
        "base": {"ref": pull.base_ref, "sha": pull.base_sha, "repo": repo},
    }


def _suite_url(view: View, suite: Suite) -> str:
    return f"{api_url(view.world)}/repos/{suite.repository.full_name}/check-suites/{suite.id}"


def _suite(view: View, suite: Suite, linked: list[JsonObject], app: JsonObject) -> JsonObject:
    parents = view.git(suite.repository).commit(suite.sha).parents
    return {
        "id": suite.id,
        "node_id": node_id("CheckSuite", suite.id),
        "head_branch": suite.branch,
        "head_sha": suite.sha,
        "status": "completed",
        "conclusion": suite.conclusion,
        "url": _suite_url(view, suite),
        "before": parents[0] if parents else ZERO_SHA,
        "after": suite.sha,
        "pull_requests": linked,
        "app": app,
        "created_at": suite.created_at,
        "updated_at": suite.created_at,
    }


def _app(view: View) -> JsonObject:
    made = "2018-07-30T09:30:17Z"
    owner = Account(id=9919, login="forge", kind="Organization", created_at=made)
    return {
        "id": APP_ID,
        "slug": APP_SLUG,
        "node_id": node_id("App", APP_ID),
        "owner": account_shape(view, owner),
        "name": APP_NAME,
        "description": "The forge's stand-in for CI",
        "external_url": view.world.config.web_url,
        "html_url": f"{view.world.config.web_url}/apps/github-actions",
        "created_at": made,
        "updated_at": made,
        "permissions": {"actions": "write", "checks": "write", "contents": "write", "metadata": "read"},
        "events": ["check_run", "check_suite"],
    }
