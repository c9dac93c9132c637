"""`squire tasks templates`, and requests in a template's words."""

import os
from pathlib import Path

import pytest

from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.audit import audit_page
from tests.support.cli import REPOSITORY, SampleData, Squire

SETTINGS = f'repositories = ["{REPOSITORY}"]\n[trust]\nrepository_files = false\n'
RELEASE = """---
title: Release {{version}}
description: Make a release.
parameters:
  version: {required: true, description: Its number.}
  notes: {type: text, default: "", description: What to say.}
---
Release {{version}}.

{{notes}}
"""


def write(squire: Squire, name: str, text: str) -> Path:
    path = squire.home / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_request_in_a_templates_words_is_a_task_like_any_other(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    write(squire, "release.md", RELEASE)
    values = ("--param", "version=1.2 {{notes}}", "--param", "notes=First.\n$(reboot) {{version}} = ${HOME}")
    made = squire.json("tasks", "new", REPOSITORY, "--template", "release", *values, "--priority", "low")
    task = samples.read(tasks.get, made["id"])
    assert task.title == "Release 1.2 {{notes}}"
    assert task.spec.prompt == "Release 1.2 {{notes}}.\n\nFirst.\n$(reboot) {{version}} = ${HOME}"
    assert (task.kind, task.spec.allow_protected) == (TaskKind.MANUAL, ())
    digest = squire.json("tasks", "templates", "show", "release")["digest"]
    label = f"installation:release ({digest})"
    (event,) = samples.read(tasks.events, made["id"])
    assert event.reason == f"asked for by the template {label}"
    (entry,) = [entry for entry in samples.read(audit_page, limit=10) if entry.action == "tasks.new"]
    assert entry.detail["template"] == label
    named = squire.json("tasks", "new", REPOSITORY, "--template", "release", "--title", "Mine", "--param", "version=2")
    assert named["title"] == "Mine"


def test_squires_own_need_no_file_and_no_network(squire: Squire) -> None:
    squire.config(SETTINGS)
    made = squire.json("tasks", "new", REPOSITORY, "--template", "fix-ci", "--param", "check=lint")
    assert made["title"] == "Make the check lint pass on the default branch"
    assert [row["name"] for row in squire.json("tasks", "templates", "list")] == [
        "answer-review",
        "clean-up-deprecation",
        "fix-ci",
        "raise-coverage",
        "upgrade-dependency",
    ]
    assert squire.ok("tasks", "templates", "check").count(": ok\n") == 5


def test_the_installations_own_counts_before_squires_and_the_origin_can_be_named(squire: Squire) -> None:
    squire.config(SETTINGS)
    write(squire, "fix-ci.md", "---\ntitle: Ours\ndescription: d\n---\nOurs.\n")
    assert squire.json("tasks", "templates", "show", "fix-ci")["text"] == "Ours."
    assert squire.json("tasks", "templates", "show", "squire:fix-ci")["origin"] == "squire"
    rows = {(row["origin"], row["name"]): row["shadowed_by"] for row in squire.json("tasks", "templates", "list")}
    assert rows["installation", "fix-ci"] is None
    assert rows["squire", "fix-ci"] == "installation"
    assert squire.json("tasks", "new", REPOSITORY, "--template", "fix-ci")["title"] == "Ours"


def test_a_wrong_file_is_named_and_nothing_is_taken_in_its_place(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    path = write(squire, "fix-ci.md", "---\ntitle: Ours {{x}}\ndescription: d\n---\nOurs.\n")
    os.mkfifo(path.parent / "pipe.md")
    refused = " ".join(squire.fails(3, "tasks", "new", REPOSITORY, "--template", "fix-ci", "--param", "x=1").split())
    assert f"the template {path} cannot be used: it has the place {{{{x}}}}, and no parameter" in refused
    assert "it is no regular file" in squire.fails(3, "tasks", "new", REPOSITORY, "--template", "pipe")
    result = squire("tasks", "templates", "check")
    assert result.exit_code == 3
    assert f"{path}: it has the place" in result.stdout
    assert "cannot be used: it has the place" in squire.ok("tasks", "templates", "list")
    (row,) = [row for row in squire.json("tasks", "templates", "list") if row["place"] == str(path)]
    assert row["problem"].startswith("it has the place")
    assert squire.json("tasks", "list") == []
    assert samples.read(audit_page, limit=10) == ()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--template", "fix-ci"), 2, "check: it is missing: The check's name"),
        (
            ("--template", "fix-ci", "--param", "chekc=lint"),
            2,
            "there is no such parameter; did you mean check?",
        ),
        (("--template", "fix-ci", "--param", "check=a\nb"), 2, "check: the value is not one line"),
        (("--template", "raise-coverage", "--param", "path=../x"), 2, "path: the value is no path within"),
        (("--template", "fix-ci", "--param", "check=a", "--param", "check=b"), 2, "'check' is given twice"),
        (("--template", "fix-ci", "--param", "check"), 2, "'check' is not NAME=VALUE"),
        (("--template", "fix-ci", "--param", "check=a", "Text"), 2, "and not twice"),
        (("--template", "fix-ci", "--param", "check=a", "--prompt", "Text"), 2, "and not twice"),
        (("--param", "check=a", "Text"), 2, "name it with --template"),
        (("--template", "nothing"), 3, "there is no template 'nothing'"),
        (("--template", "../config"), 3, "there is no template '../config'"),
        (("--template", "elsewhere:fix-ci"), 3, "there is no template 'elsewhere:fix-ci'"),
        (("--template", "repository:fix-ci"), 5, "the operator has switched repositories' own files off"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_and_nothing_is_written(
    squire: Squire, words: tuple[str, ...], code: int, reason: str
) -> None:
    squire.config(SETTINGS)
    assert reason in " ".join(squire.fails(code, "tasks", "new", REPOSITORY, *words).split())
    assert squire.json("tasks", "list") == []


def test_the_filled_request_is_shown_before_it_is_made(squire: Squire) -> None:
    squire.config(SETTINGS)
    output = squire.ok("tasks", "templates", "show", "raise-coverage", "--param", "path=src", "--param", "percent=80")
    assert "Test what is not tested in src\n" in output
    assert "at least 80 % of its lines" in output
    assert "--param percent=" in output
    assert "(integer from 1 up to 100; by default '90')" in output or "by default 90" in output


def test_a_file_is_checked_wherever_it_lies(squire: Squire, tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text(RELEASE)
    assert squire.ok("tasks", "templates", "check", str(path)) == f"{path}: ok\n"
    path.write_bytes(RELEASE.encode() + b"\xff")
    result = squire("tasks", "templates", "check", str(path), "--json")
    assert result.exit_code == 3
    assert '"problem": "it is no UTF-8, first in line 11"' in result.stdout


def test_without_a_token_a_repositorys_templates_cannot_be_looked_for(
    squire: Squire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SQUIRE_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    refused = squire.fails(3, "tasks", "new", REPOSITORY, "--template", "fix-ci", "--param", "check=lint")
    assert "github-token is missing" in refused
    assert "`squire:fix-ci` is Squire's own" in refused
    squire.ok("tasks", "new", REPOSITORY, "--template", "squire:fix-ci", "--param", "check=lint")
