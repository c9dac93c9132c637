"""The REST routes by which clients report on a commit: check runs, which only Apps write, and statuses.

They are kept apart from the checks of the stand-in for CI, on which merging depends.
"""

import sqlite3
from typing import Literal

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import events, operations, shapes, store
from squire_forge.answers import ApiError, answer, parse, same_secret, token_of
from squire_forge.operations import RequestBody
from squire_forge.records import CheckRun, CommitStatus, Repository, Suite
from squire_forge.shapes import JsonObject
from squire_forge.world import View, World

FIRST_ID = 1_000_000_001
"""Of these check runs, so that none has the id of a job."""

_Conclusion = Literal["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"]


class Output(RequestBody):
    """What a check run says."""

    title: str = Field(max_length=255)
    summary: str = Field(max_length=65_535)
    text: str = Field(default="", max_length=65_535)


class RunEdit(RequestBody):
    """The body of `PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}`."""

    name: str | None = Field(default=None, min_length=1)
    external_id: str | None = None
    details_url: str | None = None
    status: Literal["queued", "in_progress", "completed"] | None = None
    conclusion: _Conclusion | None = None
    output: Output | None = None


class NewRun(RunEdit):
    """The body of `POST /repos/{owner}/{repo}/check-runs`: here a run is made completed."""

    name: str = Field(min_length=1)
    head_sha: str = Field(pattern="^[0-9a-f]{40}$")
    conclusion: _Conclusion

    @model_validator(mode="after")
    def _is_completed(self) -> "NewRun":
        if self.status != "completed":
            raise ValueError("this server takes completed runs alone")
        return self


class NewStatus(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/statuses/{sha}`."""

    state: Literal["error", "failure", "pending", "success"]
    target_url: str | None = None
    description: str | None = Field(default=None, max_length=140)
    context: str = "default"


def runs_of_apps(con: sqlite3.Connection, repository: Repository, sha: str) -> list[CheckRun]:
    """Return the check runs that Apps wrote on a commit, oldest first."""
    rows = con.execute(
        "SELECT * FROM app_check_runs WHERE repository_id = ? AND sha = ? ORDER BY id", (repository.id, sha)
    ).fetchall()
    return [_run(row, repository) for row in rows]


def _run(row: sqlite3.Row, repository: Repository) -> CheckRun:
    suite = Suite(row["id"], repository, row["sha"], "", row["conclusion"], row["created_at"], app=row["app"])
    return CheckRun(
        id=row["id"],
        suite=suite,
        name=row["name"],
        conclusion=row["conclusion"],
        title=row["title"],
        summary=row["summary"],
        text=row["text"],
        started_at=row["created_at"],
        completed_at=row["updated_at"],
        external_id=row["external_id"],
        details_url=row["details_url"],
    )


def create_run(request: Request, world: World, body: object) -> Response:
    """Create a check run: 403 for a personal token, as at GitHub."""
    app = _require_app(request, world)
    new = parse(NewRun, body, "CheckRun")
    output = new.output or Output(title=new.name, summary="")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository = _repository(view, request)
        _require_commit(view, repository, new.head_sha)
        newest = con.execute("SELECT MAX(id) FROM app_check_runs").fetchone()[0]
        run_id = store.insert(
            con,
            "app_check_runs",
            id=(newest or FIRST_ID - 1) + 1,
            repository_id=repository.id,
            sha=new.head_sha,
            app=app,
            name=new.name,
            external_id=new.external_id or "",
            details_url=new.details_url,
            conclusion=new.conclusion,
            title=output.title,
            summary=output.summary,
            text=output.text,
            created_at=world.now(),
            updated_at=world.now(),
        )
        shape = _written(view, repository, run_id)
    return answer(request, shape, 201)


def edit_run(request: Request, world: World, body: object) -> Response:
    """Change a check run, which the App that made it alone may."""
    app, run_id = _require_app(request, world), request.path_params["id"]
    edit = parse(RunEdit, body, "CheckRun")
    changes = edit.model_dump(exclude_none=True, exclude={"output", "status"})
    changes |= edit.output.model_dump() if edit.output is not None else {}
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository = _repository(view, request)
        row = con.execute(
            "SELECT app FROM app_check_runs WHERE id = ? AND repository_id = ?", (run_id, repository.id)
        ).fetchone()
        if row is None:
            raise ApiError(404, "Not Found")
        if row["app"] != app:
            raise ApiError(
                403, "Invalid app_id `1` - check run can only be modified by the GitHub App that created it."
            )
        changed = ", ".join(f"{name} = ?" for name in (*changes, "updated_at"))
        con.execute(
            f"UPDATE app_check_runs SET {changed} WHERE id = ?",  # noqa: S608 - names of our model
            (*changes.values(), world.now(), run_id),
        )
        shape = _written(view, repository, run_id)
    return answer(request, shape)


def create_status(request: Request, world: World, body: object) -> Response:
    """Set a status on a commit; of two with one context the later one counts."""
    new, sha = parse(NewStatus, body, "Status"), request.path_params["sha"]
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository, sender = _repository(view, request), operations.viewer(view)
        _require_commit(view, repository, sha)
        now = world.now()
        status_id = store.insert(
            con,
            "statuses",
            repository_id=repository.id,
            sha=sha,
            context=new.context,
            state=new.state,
            description=new.description,
            target_url=new.target_url,
            created_at=now,
        )
        status = CommitStatus(
            status_id, repository, sha, new.context, new.state, new.description, now, target_url=new.target_url
        )
        events.emit_status(view, status, sender)
        shape = {**shapes.status_shape(view, status), "creator": shapes.account_shape(view, sender)}
    return answer(request, shape, 201)


def _require_app(request: Request, world: World) -> str:
    """Return which App a token is of. Raises ApiError 403 for a personal one, and for one without the permission."""
    token = token_of(request) or ""
    if same_secret(token, world.config.token):
        raise ApiError(403, "You must authenticate via a GitHub App.")
    app = world.apps.app_with(token, "checks", "write")
    if app is None:
        raise ApiError(403, "Resource not accessible by integration")
    return app


def _written(view: View, repository: Repository, run_id: int) -> JsonObject:
    """Return a check run as it is now, after queueing its webhook."""
    row = view.con.execute("SELECT * FROM app_check_runs WHERE id = ?", (run_id,)).fetchone()
    run = _run(row, repository)
    pulls = [pull for pull in store.pulls(view.con, repository) if pull.head_sha == run.suite.sha]
    events.emit_check_run(view, run, pulls, operations.viewer(view))
    return shapes.check_run_shape(view, run, suite={"id": run.suite.id}, app=None, pulls=[])


def _require_commit(view: View, repository: Repository, sha: str) -> None:
    if view.git(repository).object_of(f"{sha}^{{commit}}") is None:
        raise ApiError(422, f"No commit found for SHA: {sha}")


def _repository(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    if repository.archived:
        raise ApiError(403, "Repository was archived so is read-only.")
    return repository


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    ("POST", f"{_REPO}/check-runs", create_run),
    ("PATCH", f"{_REPO}/check-runs/{{id:int}}", edit_run),
    ("POST", f"{_REPO}/statuses/{{sha}}", create_status),
)
