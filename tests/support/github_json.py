"""Answers as GitHub's GraphQL and REST send them, made by hand, and a transport that plays them without a network."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from squire_pipelines.github.permissions import PermissionNeeds, needs_in
from squire_pipelines.settings.model import Settings

API_URL = "https://github.test/api/v3"
GRAPHQL_URL = "https://github.test/api/graphql"
SHA = "a" * 40


def any_repository(_: str) -> PermissionNeeds:
    """Return what an App needs in a repository when nothing is set."""
    return needs_in(Settings(), "")


def page(nodes: Sequence[object], *, cursor: str | None = None) -> dict[str, Any]:
    """One page of a connection; with a cursor it is not the last."""
    return {"pageInfo": {"hasNextPage": cursor is not None, "endCursor": cursor}, "nodes": list(nodes)}


def check_run(name: str = "test", conclusion: str | None = "FAILURE", **fields: object) -> dict[str, Any]:
    """A check run."""
    return {
        "__typename": "CheckRun",
        "name": name,
        "conclusion": conclusion,
        "detailsUrl": f"https://github.test/runs/{name}",
        "title": "1 test failed",
        "summary": "assert 1 == 2",
        "startedAt": "2026-11-01T10:00:00Z",
        "completedAt": "2026-11-01T10:01:00Z",
        "checkSuite": {"workflowRun": {"event": "push", "workflow": {"name": "CI"}}},
        **fields,
    }


def status_context(context: str = "legacy", state: str = "FAILURE") -> dict[str, Any]:
    """A commit status."""
    return {
        "__typename": "StatusContext",
        "context": context,
        "state": state,
        "description": "build broke",
        "targetUrl": None,
        "createdAt": "2026-11-01T10:02:00Z",
    }


def commit(checks: Sequence[object] = (), *, state: str = "FAILURE", oid: str = SHA, cursor: str | None = None) -> Any:
    """A commit with its rollup; without checks it has none."""
    rollup = {"state": state, "contexts": page(checks, cursor=cursor)} if checks else None
    return {"oid": oid, "committedDate": "2026-11-01T09:59:00Z", "statusCheckRollup": rollup}


def thread(name: str = "T1", *, resolved: bool = False, outdated: bool = False, **comment: object) -> dict[str, Any]:
    """A review thread with one comment."""
    first = {
        "body": "this leaks",
        "url": f"https://github.test/o/r/pull/1#{name}",
        "createdAt": "2026-11-01T11:00:00Z",
        "updatedAt": "2026-11-01T11:00:00Z",
        "lastEditedAt": None,
        "editor": None,
        "author": {"login": "ada", "__typename": "User"},
        "authorAssociation": "MEMBER",
        **comment,
    }
    return {
        "id": name,
        "isResolved": resolved,
        "isOutdated": outdated,
        "path": "src/a.py",
        "line": 3,
        "comments": {"totalCount": 1, "nodes": [first]},
    }


def review(name: str = "R1", state: str = "CHANGES_REQUESTED", body: str = "please split it", **fields: object) -> Any:
    """A review of a person who may ask, of the present head."""
    return {
        "id": name,
        "state": state,
        "body": body,
        "url": f"https://github.test/o/r/pull/1#{name}",
        "submittedAt": "2026-11-01T11:30:00Z",
        "author": {"login": "ada", "__typename": "User"},
        "authorAssociation": "MEMBER",
        "commit": {"oid": SHA},
        **fields,
    }


def comment(name: str = "C1", body: str = "as we said on Monday", **fields: object) -> Any:
    """A comment on a pull request by a person who may ask."""
    return {
        "id": name,
        "body": body,
        "url": f"https://github.test/o/r/pull/1#{name}",
        "updatedAt": "2026-11-01T11:20:00Z",
        "author": {"login": "ada", "__typename": "User"},
        "authorAssociation": "MEMBER",
        "isMinimized": False,
        **fields,
    }


def pull_request(number: int = 1, *, head: Any = None, threads: Any = None, **fields: object) -> dict[str, Any]:
    """An open pull request."""
    return {
        "number": number,
        "title": f"Change {number}",
        "body": "why",
        "url": f"https://github.test/o/r/pull/{number}",
        "isDraft": False,
        "updatedAt": "2026-11-01T12:00:00Z",
        "author": {"login": "ada", "__typename": "User"},
        "authorAssociation": "MEMBER",
        "headRefName": f"feature-{number}",
        "headRefOid": SHA,
        "baseRefName": "main",
        "isCrossRepository": False,
        "labels": {"nodes": [{"name": "bug"}]},
        "commits": {"nodes": [{"commit": head or commit()}]},
        "reviewThreads": threads or page([]),
        "reviews": {"nodes": []},
        "comments": {"nodes": []},
        **fields,
    }


def issue(number: int = 10, **fields: object) -> dict[str, Any]:
    """An open issue."""
    return {
        "number": number,
        "title": f"Issue {number}",
        "body": "please",
        "url": f"https://github.test/o/r/issues/{number}",
        "createdAt": "2026-11-01T09:00:00Z",
        "updatedAt": "2026-11-01T12:00:00Z",
        "lastEditedAt": None,
        "editor": None,
        "author": {"login": "ada", "__typename": "User"},
        "authorAssociation": "NONE",
        "labels": {"nodes": [{"name": "squire"}]},
        "comments": {"totalCount": 2},
        "timelineItems": {"nodes": []},
        **fields,
    }


def labeled(label: str, *, by: str, at: str, typename: str = "User") -> dict[str, Any]:
    """Somebody set a label, at an hour such as `10:00` of the first of November."""
    return {
        "__typename": "LabeledEvent",
        "createdAt": f"2026-11-01T{at}:00Z",
        "actor": {"login": by, "__typename": typename},
        "label": {"name": label},
    }


def renamed(previous: str, *, by: str, at: str) -> dict[str, Any]:
    """Somebody changed a title."""
    actor = {"login": by, "__typename": "User"}
    return {
        "__typename": "RenamedTitleEvent",
        "createdAt": f"2026-11-01T{at}:00Z",
        "actor": actor,
        "previousTitle": previous,
    }


def text_edit(text: str | None, *, by: str, at: str) -> dict[str, Any]:
    """A version of a text."""
    return {"editedAt": f"2026-11-01T{at}:00Z", "diff": text, "editor": {"login": by, "__typename": "User"}}


def repository(**fields: object) -> dict[str, Any]:
    """The `repository` of an answer."""
    return {"url": "https://github.test/o/r", "isArchived": False, "isDisabled": False, **fields}


def answer(data: object = None, *, errors: Sequence[object] = (), status: int = 200, **headers: str) -> httpx.Response:
    """A GraphQL answer; `headers` with underscores for hyphens."""
    content: dict[str, object] = {"data": data}
    if errors:
        content["errors"] = list(errors)
    return httpx.Response(status, json=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


class FakeGitHub(httpx.AsyncBaseTransport):
    """Plays GraphQL answers by operation name, and REST answers by method and path; records every request.

    Args:
        graphql: Operation name to what it answers: a response, or a function of the variables. `RepositorySignals`
            answers what `PullRequests`, `Issues` and `DefaultBranchChecks` do together, as long as none of them fails.
        rest: `METHOD path` to a response, or to a function of the request.
        permissions: What people may do, by login; GitHub knows nobody else.
    """

    def __init__(
        self,
        graphql: Mapping[str, httpx.Response | Callable[[dict[str, Any]], httpx.Response]] | None = None,
        rest: Mapping[str, httpx.Response | Callable[[httpx.Request], httpx.Response]] | None = None,
        permissions: Mapping[str, str] | None = None,
    ) -> None:
        self._graphql = {"TaskFolder": answer({"repository": repository()}), **(graphql or {})}
        self._rest = dict(rest or {})
        self.permissions = {"ada": "write"} if permissions is None else dict(permissions)
        self.requests: list[httpx.Request] = []
        self.operations: list[tuple[str, dict[str, Any]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.requests.append(request)
        if str(request.url) == GRAPHQL_URL:
            content = json.loads(request.content)
            name = content["query"].split("query ", 1)[1].split("(", 1)[0].strip()
            self.operations.append((name, content["variables"]))
            if name == "RepositorySignals" and name not in self._graphql:
                return self._of_parts(content["variables"])
            graph = self._graphql[name]
            return _fresh(graph(content["variables"]) if callable(graph) else graph)
        path = request.url.path.removeprefix("/api/v3")
        if (asked := re.fullmatch(r"/repos/[^/]+/[^/]+/collaborators/([^/]+)/permission", path)) and not self._rest:
            return self._permission_of(asked[1])
        played = self._rest[f"{request.method} {path}"]
        return _fresh(played(request) if callable(played) else played)

    def _of_parts(self, variables: dict[str, Any]) -> httpx.Response:
        sizes = {
            "TaskFolder": None,
            "PullRequests": variables["pulls"],
            "Issues": variables["issues"],
            "DefaultBranchChecks": None,
        }
        repository: dict[str, Any] | None = {}
        errors: list[object] = []
        headers: dict[str, str] = {}
        for name, first in sizes.items():
            graph = self._graphql.get(name) or httpx.Response(502)
            part = graph({**variables, "first": first, "after": None}) if callable(graph) else graph
            if part.status_code != 200:
                return _fresh(part)
            content = part.json()
            errors += content.get("errors", [])
            headers |= {k: v for k, v in part.headers.items() if k != "content-length"}
            answered = (content.get("data") or {}).get("repository")
            repository = None if answered is None or repository is None else repository | answered
        whole: dict[str, object] = {"data": {"repository": repository}} | ({"errors": errors} if errors else {})
        return _fresh(httpx.Response(200, json=whole, headers=headers))

    def _permission_of(self, login: str) -> httpx.Response:
        role = self.permissions.get(login)
        if role is None:
            return httpx.Response(404, json={"message": f"{login} is not a user"})
        level = {"maintain": "write", "triage": "read"}.get(role, role)
        return httpx.Response(200, json={"permission": level, "role_name": role})

    @property
    def asked_about(self) -> list[str]:
        """The people whose permission was asked for."""
        paths = [request.url.path.split("/") for request in self.requests]
        return [parts[-2] for parts in paths if parts[-1] == "permission"]


def _fresh(response: httpx.Response) -> httpx.Response:
    """A copy: a response can be read once, and a scripted one may be played again."""
    headers = {k: v for k, v in response.headers.items() if k not in {"content-length", "content-encoding"}}
    return httpx.Response(response.status_code, headers=headers, content=response.content)
