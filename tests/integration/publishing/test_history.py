"""A repository's own titles, read with the real git."""

from dataclasses import replace
from pathlib import Path

from squire_pipelines.domain.title_styles import PLAIN_TITLES
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.commit import commit_message
from squire_pipelines.publishing.history import past_commits, with_own_titles
from squire_pipelines.publishing.request import TextStyle
from tests.support.git_repository import Checkout
from tests.support.workshop import Workshop

TITLES = ("feat(app): add x", "fix(app): mend y", "docs: say z", "fix(app): go", "chore(app): tidy")
OWN = TextStyle(titles=None)


def with_history(workshop: Workshop) -> VerifiedChange:
    for number, title in enumerate(TITLES):
        workshop.agent.write("src/app.py", f"x = {number}\n")
        workshop.agent.git("commit", "--quiet", "--all", "--author", "Ann <ann@example.org>", "-m", title)
    workshop.base_sha = workshop.agent.head()
    workshop.agent.git("push", "--quiet", "origin", "HEAD:main")
    workshop.fetch()
    workshop.agent.write("src/app.py", "y = 1\n")
    workshop.agent.commit("style: whatever an agent says")
    return workshop.verify()


def test_titles_are_those_of_the_base_and_not_of_the_agent(workshop: Workshop) -> None:
    change = with_history(workshop)
    request = with_own_titles(workshop.request(style=OWN), change)
    assert request.title == "chore(app): mend add"
    assert with_own_titles(request, change) == request
    assert commit_message(request).startswith("chore(app): mend add\n")


def test_a_style_that_is_set_counts(workshop: Workshop) -> None:
    change = with_history(workshop)
    request = workshop.request(style=TextStyle(titles=PLAIN_TITLES))
    assert with_own_titles(request, change).title == "Mend add"


def test_a_history_that_cannot_be_read_leaves_titles_plain(workshop: Workshop, tmp_path: Path) -> None:
    change = replace(with_history(workshop), git_dir=tmp_path / "nowhere")
    assert with_own_titles(workshop.request(style=OWN), change).title == "Mend add"


def test_the_history_has_authors_titles_and_paths_whatever_they_are_called(workshop: Workshop) -> None:
    agent: Checkout = workshop.agent
    agent.write("a b\x01c\nd é.txt", "x\n")
    agent.git("add", "--all")
    agent.git("commit", "--quiet", "--author", "renovate[bot] <r@x>", "-m", "Odd\x01 one\n\nMore\n\x01text")
    first, *rest = past_commits(agent.path / ".git", "HEAD")
    assert (first.author, first.title) == ("renovate[bot]", "Odd\x01 one")
    assert len(first.paths) == 1
    assert [commit.title for commit in rest] == ["First commit"]
    assert set(rest[0].paths) == {"README.md", "src/app.py", "AGENTS.md"}
