"""Git's objects through REST, as GitHub answers."""

import base64
from typing import Any

from github_schemas import conforms

REPO = "/repos/{owner}/{repo}/git"
GIT = "/repos/demo/ledgerlib/git"


def test_a_commit_is_made_of_blobs_and_a_tree_and_moves_no_branch(api: Any) -> None:
    head = api.rest("GET", f"{GIT}/ref/heads/main").json()["object"]["sha"]
    parent = api.rest("GET", f"{GIT}/commits/{head}")
    conforms(parent, "GET", f"{REPO}/commits/{{commit_sha}}")
    base = parent.json()["tree"]["sha"]
    blob = api.rest("POST", f"{GIT}/blobs", {"content": base64.b64encode(b"\xff").decode(), "encoding": "base64"})
    conforms(blob, "POST", f"{REPO}/blobs")
    entries = [
        {"path": "bin/run", "mode": "100755", "type": "blob", "content": "x"},
        {"path": "raw", "mode": "100644", "type": "blob", "sha": blob.json()["sha"]},
        {"path": "ledgerlib/money.py", "mode": "100644", "type": "blob", "sha": None},
    ]
    tree = api.rest("POST", f"{GIT}/trees", {"base_tree": base, "tree": entries})
    conforms(tree, "POST", f"{REPO}/trees")
    made = api.rest("POST", f"{GIT}/commits", {"message": "M", "tree": tree.json()["sha"], "parents": [head]})
    conforms(made, "POST", f"{REPO}/commits")
    assert (made.status_code, made.json()["parents"][0]["sha"], made.json()["message"]) == (201, head, "M")
    assert api.rest("GET", f"{GIT}/ref/heads/main").json()["object"]["sha"] == head


def test_what_names_nothing_is_refused(api: Any) -> None:
    head = api.rest("GET", f"{GIT}/ref/heads/main").json()["object"]["sha"]
    missing = {"path": "a", "mode": "100644", "type": "blob", "sha": "1" * 40}
    refused = [
        ("blobs", {"content": "?", "encoding": "base64"}),
        ("trees", {"base_tree": "1" * 40, "tree": [missing]}),
        ("trees", {"tree": []}),
        ("commits", {"message": "M", "tree": "1" * 40, "parents": [head]}),
        ("commits", {"message": "", "tree": head}),
    ]
    assert [api.rest("POST", f"{GIT}/{path}", body).status_code for path, body in refused] == [422] * len(refused)
    assert api.rest("GET", f"{GIT}/commits/{'1' * 40}").status_code == 404
    assert api.rest("POST", "/repos/demo/none/git/blobs", {"content": "x"}).status_code == 404
