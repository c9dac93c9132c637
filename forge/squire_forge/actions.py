"""GitHub Actions of the forge: jobs, their logs on another host, annotations of checks, a second run of what failed.

A job is a check of the stand-in for CI, and has its id, as at GitHub.
"""

import hashlib
import hmac
import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from squire_forge import settling, store, store_checks
from squire_forge.answers import ApiError, answer
from squire_forge.checks import WORKFLOW_NAME
from squire_forge.records import CheckRun, Suite
from squire_forge.shapes import api_url
from squire_forge.world import View, World, node_id

LOGS = "/_logs"
_PLACE = re.compile(r"^(?P<path>[^\s:]+):(?P<line>\d+): (?P<message>.+)")
_SET_UP = ("Set up job", "Check out the commit")


def _check_run(view: View, request: Request) -> CheckRun:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    run = store_checks.check_run(view.con, repository, request.path_params["id"]) if repository else None
    if run is None:
        raise ApiError(404, "Not Found")
    return run


def job(request: Request, world: World, _: object) -> Response:
    """Answer with one job and its steps."""
    with world.database.reading() as con:
        run = _check_run(View(world, con), request)
    return answer(request, _job_shape(world, run))


def _job_shape(world: World, run: CheckRun) -> dict[str, object]:
    name = run.suite.repository.full_name
    base, web = f"{api_url(world)}/repos/{name}", f"{world.config.web_url}/{name}"
    steps = [(step, "success") for step in _SET_UP] + [(f"Run {run.name}", run.conclusion)]
    return {
        "id": run.id,
        "run_id": run.suite.id,
        "workflow_name": WORKFLOW_NAME,
        "head_branch": run.suite.branch,
        "run_url": f"{base}/actions/runs/{run.suite.id}",
        "run_attempt": 1,
        "node_id": node_id("CheckRun", run.id),
        "head_sha": run.suite.sha,
        "url": f"{base}/actions/jobs/{run.id}",
        "html_url": f"{web}/actions/runs/{run.suite.id}/job/{run.id}",
        "status": "completed",
        "conclusion": run.conclusion,
        "created_at": run.started_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "name": run.name,
        "steps": [
            {
                "name": step,
                "status": "completed",
                "conclusion": conclusion,
                "number": number,
                "started_at": run.started_at,
                "completed_at": run.completed_at,
            }
            for number, (step, conclusion) in enumerate(steps, 1)
        ],
        "check_run_url": f"{base}/check-runs/{run.id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1,
        "runner_name": "The forge's stand-in for CI",
        "runner_group_id": 1,
        "runner_group_name": "Default",
    }


def run_jobs(request: Request, world: World, _: object) -> Response:
    """Answer with the jobs of a workflow's run, each in its newest run."""
    with world.database.reading() as con:
        suite = _suite(View(world, con), request)
        jobs = [_job_shape(world, run) for run in store_checks.check_runs(con, suite)]
    return answer(request, {"total_count": len(jobs), "jobs": jobs})


def job_logs(request: Request, world: World, _: object) -> Response:
    """Redirect to the log of a job, which lies on another host and is signed for there."""
    with world.database.reading() as con:
        run = _check_run(View(world, con), request)
    web = urlsplit(world.config.web_url)
    return RedirectResponse(f"{web.scheme}://localhost:{web.port}{LOGS}/{run.id}?sig={_signature(world, run.id)}", 302)


def _signature(world: World, run_id: int) -> str:
    return hmac.new(world.config.token.encode(), f"log {run_id}".encode(), hashlib.sha256).hexdigest()


def log_routes(world: World) -> list[Route]:
    """Return the route of the host that logs lie on. It refuses whoever sends it a token."""

    def log(request: Request) -> Response:
        run_id = request.path_params["id"]
        if "authorization" in request.headers:
            return PlainTextResponse("AuthenticationFailed: this host takes no token", 400)
        if not hmac.compare_digest(request.query_params.get("sig", ""), _signature(world, run_id)):
            return PlainTextResponse("AuthenticationFailed", 403)
        with world.database.reading() as con:
            row = con.execute(
                "SELECT s.repository_id FROM check_runs c JOIN suites s ON s.id = c.suite_id WHERE c.id = ?", (run_id,)
            ).fetchone()
            run = store_checks.check_run(con, store.repository(con, row["repository_id"]), run_id) if row else None
        return PlainTextResponse(_log(run)) if run else PlainTextResponse("BlobNotFound", 404)

    return [Route(f"{LOGS}/{{id:int}}", log, methods=["GET"])]


def _log(run: CheckRun) -> str:
    """Return a log as a runner writes it: a byte order mark, times, groups, colours, a bar that overwrites itself."""
    at = run.started_at.removesuffix("Z")
    bar = "\r".join(f"Receiving objects: {share:3}%" for share in (1, 50, 100))
    lines = [
        "##[group]Check out the commit",
        f"{bar}, done.",
        f"HEAD is now at {run.suite.sha[:7]}",
        "##[endgroup]",
        f"##[group]Run {run.name}",
        "shell: /usr/bin/bash -e {0}",
        "##[endgroup]",
    ]
    if run.conclusion == "success":
        lines.append(f"\x1b[32m{run.title}\x1b[0m")
    else:
        lines += [f"\x1b[31m{line}\x1b[0m" if line else "" for line in run.text.splitlines()]
        lines.append("##[error]Process completed with exit code 1.")
    lines.append("Cleaning up orphan processes")
    stamped = (f"{at}.{number:07}Z {line}\n" for number, line in enumerate(lines))
    return "\ufeff" + "".join(stamped)


def annotations(request: Request, world: World, _: object) -> Response:
    """Answer with the lines that a check complains about."""
    with world.database.reading() as con:
        run = _check_run(View(world, con), request)
    web = f"{world.config.web_url}/{run.suite.repository.full_name}/blob/{run.suite.sha}"
    places = (_PLACE.match(line) for line in run.text.splitlines())
    body = [
        {
            "path": place["path"],
            "blob_href": f"{web}/{place['path']}",
            "start_line": int(place["line"]),
            "end_line": int(place["line"]),
            "start_column": None,
            "end_column": None,
            "annotation_level": "failure",
            "title": None,
            "message": place["message"],
            "raw_details": None,
        }
        for place in places
        if place
    ]
    return answer(request, body)


def rerun_failed_jobs(request: Request, world: World, _: object) -> Response:
    """Run the failed jobs of a workflow's run again."""
    with world.database.reading() as con:
        suite = _suite(View(world, con), request)
    settling.rerun(world, suite)
    return answer(request, {}, 201)


def _suite(view: View, request: Request) -> Suite:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    suite = store_checks.suite_by_id(view.con, repository, request.path_params["id"]) if repository else None
    if suite is None:
        raise ApiError(404, "Not Found")
    return suite
