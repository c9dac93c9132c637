"""REST routes by which clients find out about a repository and what they may do in it.

Commits, issues, checks, the creation of a branch, and the rules of a branch. Webhooks are in `hooks`.
"""

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import settling, shapes, store, store_checks
from squire_forge.answers import ApiError, answer, parse
from squire_forge.app_checks import runs_of_apps
from squire_forge.errors import ForgeError
from squire_forge.git import CommitInfo, Person
from squire_forge.records import Repository
from squire_forge.world import View, World, node_id

_DEFAULT_PAGE = 30
_MAX_PAGE = 100
_REF = "refs/heads/"
_UNSIGNED = ("payload", "signature", "verified_at")
_RANK = {"error": 3, "failure": 3, "pending": 2, "success": 1}


class NewRef(BaseModel):
    """The body of `POST /repos/OWNER/REPO/git/refs`."""

    model_config = ConfigDict(frozen=True, strict=True)

    ref: str = Field(pattern=f"^{_REF}.")
    sha: str = Field(pattern="^[0-9a-f]{40}$")


def _find(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    return repository


def _size(request: Request) -> int:
    text = request.query_params.get("per_page", "")
    return min(int(text), _MAX_PAGE) if text.isascii() and text.isdigit() and 0 < len(text) < 10 else _DEFAULT_PAGE  # noqa: PLR2004 - digits of an int


def _commit_of(view: View, repository: Repository, revision: str) -> str:
    """Return the commit that a branch, a tag or an id names. Raises ApiError 422."""
    named = view.git(repository).object_of(f"{revision}^{{commit}}")
    if named is None:
        raise ApiError(422, f"No commit found for SHA: {revision}")
    return named[1]


def commits(request: Request, world: World, _: object) -> Response:
    """Answer with the newest commits of the default branch, or of what `sha` names."""
    with world.database.reading() as con:
        view = View(world, con)
        repository = _find(view, request)
        start = _commit_of(view, repository, request.query_params.get("sha") or repository.default_branch)
        git = view.git(repository)
        names = git.run("rev-list", f"--max-count={_size(request)}", start).split()
        return answer(request, [commit_shape(view, repository, git.commit(name)) for name in names])


def commit_shape(view: View, repository: Repository, commit: CommitInfo) -> dict[str, object]:
    """Return a commit as lists show it."""
    base = f"{shapes.api_url(view.world)}/repos/{repository.full_name}"
    page = f"{view.world.config.web_url}/{repository.full_name}/commit"

    def person(value: Person) -> dict[str, str]:
        return {"name": value.name, "email": value.email, "date": value.date}

    return {
        "sha": commit.sha,
        "node_id": node_id("Commit", f"{repository.id}:{commit.sha}"),
        "url": f"{base}/commits/{commit.sha}",
        "html_url": f"{page}/{commit.sha}",
        "comments_url": f"{base}/commits/{commit.sha}/comments",
        "commit": {
            "url": f"{base}/git/commits/{commit.sha}",
            "author": person(commit.author),
            "committer": person(commit.committer),
            "message": commit.message,
            "comment_count": 0,
            "tree": {"sha": commit.tree, "url": f"{base}/git/trees/{commit.tree}"},
            "verification": {"verified": False, "reason": "unsigned"} | dict.fromkeys(_UNSIGNED),
        },
        "author": None,
        "committer": None,
        "parents": [
            {"sha": parent, "url": f"{base}/commits/{parent}", "html_url": f"{page}/{parent}"}
            for parent in commit.parents
        ],
    }


def issues(request: Request, world: World, _: object) -> Response:
    """Answer with the newest issues; pull requests, which GitHub has among them, are left out."""
    state = request.query_params.get("state", "open")
    with world.database.reading() as con:
        view = View(world, con)
        tickets = [ticket for ticket in store.issues(con, _find(view, request)) if state in {"all", ticket.state}]
        tickets.sort(key=lambda ticket: ticket.number, reverse=True)
        return answer(request, [shapes.issue_shape(view, ticket) for ticket in tickets[: _size(request)]])


def check_runs(request: Request, world: World, _: object) -> Response:
    """Answer with the newest run of each check of a commit."""
    with world.database.reading() as con:
        view = View(world, con)
        repository = _find(view, request)
        sha, name = (
            _commit_of(view, repository, request.path_params["revision"]),
            request.query_params.get("check_name"),
        )
        suite = store_checks.suite(con, repository, sha)
        runs = [*(store_checks.check_runs(con, suite) if suite else []), *runs_of_apps(con, repository, sha)]
        runs = [run for run in runs if name is None or run.name == name]
        shown = [
            shapes.check_run_shape(view, run, suite={"id": run.suite.id}, app=None, pulls=[])
            for run in runs[: _size(request)]
        ]
        return answer(request, {"total_count": len(runs), "check_runs": shown})


def status(request: Request, world: World, _: object) -> Response:
    """Answer with the statuses of a commit, the newest of each context, and what they come to."""
    with world.database.reading() as con:
        view = View(world, con)
        repository = _find(view, request)
        sha = _commit_of(view, repository, request.path_params["revision"])
        newest = {one.context: one for one in store_checks.statuses(con, repository, sha)}
        states = [one.state.lower() for one in newest.values()]
        worst = max(states, key=lambda state: _RANK.get(state, 0), default="pending")
        base = f"{shapes.api_url(world)}/repos/{repository.full_name}"
        body = {
            "state": "failure" if worst == "error" else worst,
            "statuses": [shapes.status_shape(view, one) for one in newest.values()],
            "sha": sha,
            "total_count": len(newest),
            "repository": shapes.repository_shape(view, repository),
            "commit_url": f"{base}/commits/{sha}",
            "url": f"{base}/commits/{sha}/status",
        }
        return answer(request, body)


def create_ref(request: Request, world: World, body: object) -> Response:
    """Create a branch at a commit."""
    new = parse(NewRef, body, "Reference")
    with world.lock:
        with world.database.reading() as con:
            repository = _find(View(world, con), request)
        git, name = world.git(repository), new.ref.removeprefix(_REF)
        if repository.archived:
            raise ApiError(403, "Repository was archived so is read-only.")
        if git.branch(name) is not None:
            raise ApiError(422, "Reference already exists")
        if git.object_of(f"{new.sha}^{{commit}}") is None:
            raise ApiError(422, "Object does not exist")
        try:
            git.update_ref(new.ref, new.sha, "0" * 40)
        except ForgeError as error:
            raise ApiError(422, "Reference cannot be created") from error
        settling.announce(world, repository.id)
    world.touch(repository.id)
    base = f"{shapes.api_url(world)}/repos/{repository.full_name}/git"
    shape = {
        "ref": new.ref,
        "node_id": node_id("Ref", f"{repository.id}:{new.ref}"),
        "url": f"{base}/{new.ref}",
        "object": {"sha": new.sha, "type": "commit", "url": f"{base}/commits/{new.sha}"},
    }
    return answer(request, shape, 201)


def branch_rules(request: Request, world: World, _: object) -> Response:
    """Answer with the rules of a branch: this server has no rulesets."""
    with world.database.reading() as con:
        _find(View(world, con), request)
    return answer(request, [])


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    ("GET", f"{_REPO}/commits", commits),
    ("GET", f"{_REPO}/commits/{{revision:path}}/check-runs", check_runs),
    ("GET", f"{_REPO}/commits/{{revision:path}}/status", status),
    ("GET", f"{_REPO}/issues", issues),
    ("POST", f"{_REPO}/git/refs", create_ref),
    ("GET", f"{_REPO}/rules/branches/{{branch:path}}", branch_rules),
)
