"""The REST routes of git's objects: a client writes blobs, a tree and a commit, and reads a commit. No branch moves.

Commits are not signed here, as those of a person's token are not at GitHub.
"""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import operations, shapes, store
from squire_forge.answers import ApiError, answer, parse
from squire_forge.errors import GitError
from squire_forge.git import ZERO_SHA, CommitInfo, GitDirectory, Person
from squire_forge.operations import RequestBody
from squire_forge.records import Repository
from squire_forge.world import View, World, node_id

_SHA = "^[0-9a-f]{40}$"
_MAX_ENTRIES = 1000


class NewBlob(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/git/blobs`."""

    content: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class NewEntry(RequestBody):
    """One entry of a new tree; a `sha` of None, when it is given, takes the file away."""

    path: str = Field(min_length=1)
    mode: Literal["100644", "100755", "120000"]
    type: Literal["blob"]
    sha: str | None = Field(default=None, pattern=_SHA)
    content: str | None = None


class NewTree(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/git/trees`."""

    tree: tuple[NewEntry, ...] = Field(strict=False, min_length=1, max_length=_MAX_ENTRIES)
    base_tree: str | None = Field(default=None, pattern=_SHA)


class NewCommit(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/git/commits`."""

    message: str = Field(min_length=1)
    tree: str = Field(pattern=_SHA)
    parents: tuple[str, ...] = Field(default=(), strict=False)


def create_blob(request: Request, world: World, body: object) -> Response:
    """Write a file's content."""
    new = parse(NewBlob, body, "Blob")
    repository, git = _open(request, world)
    try:
        data = new.content.encode() if new.encoding == "utf-8" else base64.b64decode(new.content, validate=True)
    except binascii.Error as error:
        raise ApiError(422, "Blob content is not valid Base64") from error
    sha = _write_blob(git, data)
    return answer(request, {"sha": sha, "url": f"{_base(world, repository)}/blobs/{sha}"}, 201)


def create_tree(request: Request, world: World, body: object) -> Response:
    """Write a tree: another with some files changed."""
    new = parse(NewTree, body, "Tree")
    repository, git = _open(request, world)
    with tempfile.TemporaryDirectory(prefix="squire-forge-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        try:
            git.run("read-tree", new.base_tree or "--empty", environment=index)
            rows = (_index_row(git, entry).encode() for entry in new.tree)
            git.run("update-index", "-z", "--index-info", environment=index, data=b"".join(rows))
            tree = git.run("write-tree", environment=index).strip()
        except GitError as error:
            raise ApiError(422, "GitRPC::BadObjectState") from error
    url = f"{_base(world, repository)}/trees/{tree}"
    return answer(request, {"sha": tree, "url": url, "tree": [], "truncated": False}, 201)


def create_commit(request: Request, world: World, body: object) -> Response:
    """Write a commit of the token's owner."""
    new = parse(NewCommit, body, "Commit")
    repository, git = _open(request, world)
    for name, kind in ((new.tree, "tree"), *((parent, "commit") for parent in new.parents)):
        if git.object_of(f"{name}^{{{kind}}}") is None:
            raise ApiError(422, f"{kind.capitalize()} SHA does not exist")
    with world.lock, world.database.writing() as con:
        login = operations.viewer(View(world, con)).login
    author = Person(login, f"{login}@users.noreply.forge.test", world.now())
    sha = git.commit_tree(new.tree, new.parents, new.message, author)
    return answer(request, _shape(world, repository, git.commit(sha)), 201)


def commit(request: Request, world: World, _: object) -> Response:
    """Answer with one commit."""
    repository, git = _open(request, world)
    named = git.object_of(f"{request.path_params['sha']}^{{commit}}")
    if named is None:
        raise ApiError(404, "Not Found")
    return answer(request, _shape(world, repository, git.commit(named[1])))


def _open(request: Request, world: World) -> tuple[Repository, GitDirectory]:
    with world.database.reading() as con:
        view = View(world, con)
        repository = store.find_repository(con, request.path_params["owner"], request.path_params["repo"])
        if repository is None:
            raise ApiError(404, "Not Found")
        if repository.archived and request.method != "GET":
            raise ApiError(403, "Repository was archived so is read-only.")
        return repository, view.git(repository)


def _index_row(git: GitDirectory, entry: NewEntry) -> str:
    """Return an entry as `git update-index --index-info` takes it; a mode of 0 takes the path away."""
    sha = entry.sha if entry.content is None else _write_blob(git, entry.content.encode())
    return f"0 {ZERO_SHA}\t{entry.path}\0" if sha is None else f"{entry.mode} {sha}\t{entry.path}\0"


def _write_blob(git: GitDirectory, data: bytes) -> str:
    return git.run("hash-object", "-w", "--stdin", data=data).strip()


def _base(world: World, repository: Repository) -> str:
    return f"{shapes.api_url(world)}/repos/{repository.full_name}/git"


def _shape(world: World, repository: Repository, info: CommitInfo) -> dict[str, object]:
    base, page = _base(world, repository), f"{world.config.web_url}/{repository.full_name}/commit"

    def person(one: Person) -> dict[str, str]:
        return {"name": one.name, "email": one.email, "date": one.date}

    return {
        "sha": info.sha,
        "node_id": node_id("Commit", f"{repository.id}:{info.sha}"),
        "url": f"{base}/commits/{info.sha}",
        "html_url": f"{page}/{info.sha}",
        "author": person(info.author),
        "committer": person(info.committer),
        "message": info.message,
        "tree": {"sha": info.tree, "url": f"{base}/trees/{info.tree}"},
        "parents": [{"sha": sha, "url": f"{base}/commits/{sha}", "html_url": f"{page}/{sha}"} for sha in info.parents],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


_GIT = "/repos/{owner}/{repo}/git"
ROUTES = (
    ("POST", f"{_GIT}/blobs", create_blob),
    ("POST", f"{_GIT}/trees", create_tree),
    ("POST", f"{_GIT}/commits", create_commit),
    ("GET", f"{_GIT}/commits/{{sha}}", commit),
)
