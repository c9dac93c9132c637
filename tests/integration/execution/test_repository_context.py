"""What a planner is told of a repository: read from a mirror of real git, kept by its head, and never a hindrance."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.repository_facts import RepositoryContext
from squire_pipelines.execution import repository_context
from squire_pipelines.execution.repository_context import RepositoryReader
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.git_repository import Checkout, make_upstream
from tests.support.ledgers import add_task, new_sqlite_ledger

REPOSITORY = "acme/shop"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))
    opened = new_sqlite_ledger(tmp_path / "home" / "ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def person(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "person", make_upstream(tmp_path / "upstream.git"))


def reader(ledger: Ledger, clone_url: str, *, branch: str | None = "main", **planner: Any) -> RepositoryReader:
    info = RepositoryInfo(
        name=REPOSITORY,
        default_branch=branch,
        clone_url=clone_url,
        archived=False,
        private=False,
        can_push=True,
        is_empty=False,
    )
    return RepositoryReader(Settings(planner=PlannerSettings(**planner)), ledger, REPOSITORY, info)


def context_of(ledger: Ledger, person: Checkout) -> RepositoryContext:
    return asyncio.run(reader(ledger, person.git("remote", "get-url", "origin")).context())


def push(person: Checkout) -> str:
    head = person.commit()
    person.git("push", "--quiet", "origin", "main")
    return head


def test_languages_commands_instructions_and_folders_are_of_the_head(ledger: Ledger, person: Checkout) -> None:
    person.write("Makefile", "test:\n\tpytest\n")
    person.write("CLAUDE.md", "Be kind.\n")
    head = push(person)
    add_task(ledger, title="Under way")
    context = context_of(ledger, person)
    code = context.code
    assert code is not None
    assert (code.branch, code.sha, code.files, code.complete) == ("main", head, 5, True)
    assert [language.name for language in code.languages] == ["Python"]
    assert [(command.purpose, command.command) for command in code.commands] == [("tests", "make test")]
    assert [(file.path, file.text) for file in code.instructions] == [("AGENTS.md", "Be kind.")], "the same text once"
    assert code.folders == ("./: AGENTS.md, CLAUDE.md, Makefile, README.md", "src/: app.py")
    assert [task.title for task in context.history.tasks] == ["Under way"]


def test_what_was_read_at_one_head_is_kept_until_there_is_another(
    ledger: Ledger, person: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = context_of(ledger, person)
    with monkeypatch.context() as patched:
        patched.setattr(repository_context, "read_code_facts", None)  # nobody reads
        assert context_of(ledger, person) == first
    person.write("go.mod", "module x\n")
    head = push(person)
    code = context_of(ledger, person).code
    assert code is not None
    assert (code.sha, code.package_managers) == (head, ("go",))


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": "0", "facts": {}}', b"\xff" * 100])
def test_what_is_kept_may_be_anything(ledger: Ledger, person: Checkout, content: bytes) -> None:
    first = context_of(ledger, person)
    (kept,) = (Settings().home.mirrors).glob("*.context.json")
    kept.write_bytes(content)
    assert context_of(ledger, person) == first


@pytest.mark.parametrize(
    ("url", "branch", "reason"),
    [
        ("/nowhere/at/all.git", "main", "no such repository"),
        ("ftp://example.org/x.git", "main", "ftp"),
        (None, "gone", "has no branch 'gone'"),
        (None, None, "has no branch ''"),
    ],
)
def test_code_that_cannot_be_read_is_said_and_the_past_is_told_all_the_same(
    ledger: Ledger, person: Checkout, url: str | None, branch: str | None, reason: str
) -> None:
    add_task(ledger, title="Under way")
    address = url or person.git("remote", "get-url", "origin")
    context = asyncio.run(reader(ledger, address, branch=branch).context())
    assert context.code is None
    assert reason in context.why_no_code
    assert [task.title for task in context.history.tasks] == ["Under way"]


def test_a_fetch_that_takes_too_long_is_given_up_and_removes_no_mirror(ledger: Ledger, person: Checkout) -> None:
    context_of(ledger, person)
    url = person.git("remote", "get-url", "origin")
    context = asyncio.run(reader(ledger, url, context_timeout_s=1e-9).context())
    assert context.code is None
    assert "did not answer in time" in context.why_no_code
    assert context_of(ledger, person).code is not None


def test_paths_are_those_of_each_branch_at_the_head_that_was_read(ledger: Ledger, person: Checkout) -> None:
    person.git("checkout", "--quiet", "-b", "topic")
    person.write("only-here.py", "1")
    person.commit()
    person.git("push", "--quiet", "origin", "topic")
    context = asyncio.run(reader(ledger, person.git("remote", "get-url", "origin")).read())
    existing = context.existing[REPOSITORY]
    person.git("checkout", "--quiet", "main")
    person.write("later.py", "1")
    push(person)
    asyncio.run(reader(ledger, person.git("remote", "get-url", "origin")).read())
    assert set(existing("topic", ["only-here.py", "README.md", "gone"]) or ()) == {"only-here.py", "README.md"}
    assert set(existing("main", ["only-here.py", "later.py", "README.md"]) or ()) == {"README.md"}
    assert existing("main", []) == ()
    assert existing("no-such-branch", ["README.md"]) is None


def test_paths_of_a_mirror_that_is_gone_are_not_known(ledger: Ledger, person: Checkout) -> None:
    context = asyncio.run(reader(ledger, person.git("remote", "get-url", "origin")).read())
    (mirror,) = Settings().home.mirrors.glob("*.git")
    shutil.rmtree(mirror)
    assert context.existing[REPOSITORY]("main", ["README.md"]) is None
