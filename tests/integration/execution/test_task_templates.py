"""A repository's own templates: read from its default branch, and by whose word."""

from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger import tasks
from tests.support.cli import Squire
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline
from tests.support.pusher import FilePusher

FOLDER = ".github/squire/templates"
OWN = "---\ntitle: Ours\ndescription: Of this repository.\n---\n{}\n"


@pytest.mark.slow
def test_the_default_branchs_templates_count_before_squires_and_no_other_branchs(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    squire = Squire(pipeline.home)
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    assert squire.json("tasks", "templates", "show", "fix-ci", "--repository", QUIET)["origin"] == "squire"
    pusher.push(f"{FOLDER}/fix-ci.md", OWN.format("From a branch."), branch="topic")
    assert squire.json("tasks", "templates", "show", "fix-ci", "--repository", QUIET)["origin"] == "squire"
    pusher.push(f"{FOLDER}/fix-ci.md", OWN.format("From the default branch."))
    pusher.push(f"{FOLDER}/wrong.md", "no block\n")
    pusher.push(f"{FOLDER}/readme.txt", "no template\n")
    pusher.push(f"{FOLDER}/raise-coverage.md/inside.md", "no template\n")
    rows = squire.json("tasks", "templates", "list", "--repository", QUIET.upper())
    own = {row["name"]: row for row in rows if row["origin"] == "repository"}
    assert set(own) == {"fix-ci", "wrong", "raise-coverage"}
    assert own["raise-coverage"]["problem"] == "it is no file"
    assert own["fix-ci"]["place"] == f"{QUIET}//{FOLDER}/fix-ci.md"
    assert own["wrong"]["problem"] == "it does not begin with a block of YAML between two lines ---"
    assert [row["shadowed_by"] for row in rows if (row["origin"], row["name"]) == ("squire", "fix-ci")] == [
        "repository"
    ]
    assert squire("tasks", "templates", "check", "--repository", QUIET).exit_code == 3

    made = squire.json("tasks", "new", QUIET, "--template", "fix-ci")
    with pipeline.ledger.read() as tx:
        assert tasks.get(tx, made["id"]).spec.prompt == "From the default branch."
    assert "wrong.md cannot be used" in " ".join(squire.fails(3, "tasks", "new", QUIET, "--template", "wrong").split())
    assert "it is no file" in squire.fails(3, "tasks", "new", QUIET, "--template", "raise-coverage")
    other = squire.json("tasks", "templates", "list", "--repository", HANDBOOK)
    assert {row["origin"] for row in other} == {"squire"}, "what one repository has is no other's"

    folder = pipeline.home / "templates"
    folder.mkdir()
    (folder / "fix-ci.md").write_text(OWN.format("The installation's."))
    shown = squire.json("tasks", "templates", "show", "fix-ci", "--repository", QUIET)
    assert shown["text"] == "The installation's."
    shown = squire.json("tasks", "templates", "show", "repository:fix-ci", "--repository", QUIET)
    assert shown["text"] == "From the default branch."


@pytest.mark.slow
@pytest.mark.parametrize("trust", ['min_permission = "maintain"', "repository_files = false"])
def test_where_writers_may_not_give_orders_their_templates_do_not_count(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path, trust: str
) -> None:
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    pusher.push(f"{FOLDER}/fix-ci.md", OWN.format("From the default branch."))
    pipeline.configure(f"[trust]\n{trust}\n")
    squire = Squire(pipeline.home)
    listed = squire("tasks", "templates", "list", "--repository", QUIET)
    assert "From the default branch" not in listed.stdout
    assert "do not count" in listed.stderr
    assert squire.json("tasks", "templates", "show", "fix-ci", "--repository", QUIET)["origin"] == "squire"
    refused = squire.fails(5, "tasks", "new", QUIET, "--template", "repository:fix-ci")
    assert f"templates of {QUIET} do not count" in refused
    assert squire.json("tasks", "list") == []
