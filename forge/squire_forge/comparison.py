"""The REST route that compares two commits: what one adds since it left the other."""

from starlette.requests import Request
from starlette.responses import Response

from squire_forge import shapes, store
from squire_forge.answers import ApiError, answer
from squire_forge.git import ZERO_SHA, GitDirectory
from squire_forge.records import Repository
from squire_forge.repository_routes import commit_shape
from squire_forge.world import View, World

_MAX_FILES = 300
_STATUSES = {"A": "added", "D": "removed", "R": "renamed", "C": "copied"}


def compare(request: Request, world: World, _: object) -> Response:
    """Answer with the commits and files, the first 300, of `BASE...HEAD`."""
    with world.database.reading() as con:
        view = View(world, con)
        owner, name = request.path_params["owner"], request.path_params["repo"]
        repository = store.find_repository(con, owner, name)
        if repository is None:
            raise ApiError(404, "Not Found")
        git = view.git(repository)
        names = request.path_params["basehead"].split("...")
        ends = [one for one in (git.object_of(f"{name}^{{commit}}") for name in names) if one is not None]
        if len(names) != 2 or len(ends) != 2:  # noqa: PLR2004 - the two that are compared
            raise ApiError(404, "Not Found")
        base, head = (oid for _, oid in ends)
        fork = git.merge_base(base, head)
        if fork is None:
            raise ApiError(404, f"No common ancestor between {names[0]} and {names[1]}.")
        ahead, behind = git.commits_between(base, head), git.commits_between(head, base)
        own = f"{shapes.api_url(world)}/repos/{repository.full_name}/compare/{request.path_params['basehead']}"
        page = f"{world.config.web_url}/{repository.full_name}/compare/{base}...{head}"
        body = {
            "url": own,
            "html_url": page,
            "permalink_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": commit_shape(view, repository, git.commit(base)),
            "merge_base_commit": commit_shape(view, repository, git.commit(fork)),
            "status": "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical",
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [commit_shape(view, repository, git.commit(sha)) for sha in ahead],
            "files": _files(view, repository, git, fork, head)[:_MAX_FILES],
        }
        return answer(request, body)


def _files(view: View, repository: Repository, git: GitDirectory, base: str, head: str) -> list[dict[str, object]]:
    numbers = dict(git.line_counts(base, head))
    api = f"{shapes.api_url(view.world)}/repos/{repository.full_name}"
    web = f"{view.world.config.web_url}/{repository.full_name}"
    files = []
    for status, path, previous in git.changed_paths(base, head):
        added, removed = numbers.get(path, (0, 0))
        blob = git.object_of(f"{head}:{path}")
        shape: dict[str, object] = {
            "sha": blob[1] if blob else ZERO_SHA,
            "filename": path,
            "status": _STATUSES.get(status, "modified"),
            "additions": added,
            "deletions": removed,
            "changes": added + removed,
            "blob_url": f"{web}/blob/{head}/{path}",
            "raw_url": f"{web}/raw/{head}/{path}",
            "contents_url": f"{api}/contents/{path}?ref={head}",
        }
        files.append(shape if previous is None else {**shape, "previous_filename": previous})
    return files


ROUTES = (("GET", "/repos/{owner}/{repo}/compare/{basehead:path}", compare),)
