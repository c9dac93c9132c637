"""The update of a pull request's branch from its base through REST."""

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import operations, settling, store
from squire_forge.answers import ApiError, answer, parse
from squire_forge.git import Person
from squire_forge.shapes import api_url
from squire_forge.world import View, World


class BranchUpdate(operations.RequestBody):
    """The body of `PUT /repos/{owner}/{repo}/pulls/{number}/update-branch`."""

    expected_head_sha: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")


def update_branch(request: Request, world: World, body: object) -> Response:
    """Merge the base into the pull request's branch, as GitHub's button does, with GitHub's refusals."""
    expected = parse(BranchUpdate, body, "PullRequest").expected_head_sha
    with world.lock:
        with world.database.writing() as con:
            view = View(world, con)
            repository = store.find_repository(con, request.path_params["owner"], request.path_params["repo"])
            named = store.pull(con, repository, request.path_params["number"]) if repository else None
            if repository is None or named is None:
                raise ApiError(404, "Not Found")
            login = operations.viewer(view).login
        settling.announce(world, repository.id)
        with world.database.reading() as con:
            pull = store.pull(con, repository, named.number) or named
        git = world.git(repository)
        head, tip = git.branch(pull.head_ref), git.branch(pull.base_ref)
        if expected is not None and expected != head:
            raise ApiError(422, "expected head sha didn\u2019t match current head ref.")
        if pull.state != "open" or head is None or tip is None:
            raise ApiError(422, "Validation Failed")
        if git.is_ancestor(tip, head):
            raise ApiError(422, "There are no new commits on the base branch.")
        tree = git.merged_tree(head, tip)
        if tree is None:
            raise ApiError(422, "merge conflict between base and head")
        author = Person(login, f"{login}@users.noreply.forge.test", world.now())
        message = f"Merge branch '{pull.base_ref}' into {pull.head_ref}"
        git.update_ref(f"refs/heads/{pull.head_ref}", git.commit_tree(tree, (head, tip), message, author), head)
        settling.announce(world, repository.id)
    world.touch(repository.id)
    url = f"{api_url(world)}/repos/{repository.full_name}/pulls/{pull.number}"
    return answer(request, {"message": "Updating pull request branch.", "url": url}, 202)


ROUTES = (("PUT", "/repos/{owner}/{repo}/pulls/{number:int}/update-branch", update_branch),)
