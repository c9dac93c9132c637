"""A repository's own titles and template, read with the real git."""

from dataclasses import replace
from pathlib import Path

import pytest

from squire_pipelines.domain.title_styles import PLAIN_TITLES
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.commit import commit_message
from squire_pipelines.publishing.own_style import past_commits, repository_template, with_own_style
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
    request = with_own_style(workshop.request(style=OWN), change)
    assert request.title == "chore(app): mend add"
    assert with_own_style(request, change) == request
    assert commit_message(request).startswith("chore(app): mend add\n")


def test_a_style_that_is_set_counts(workshop: Workshop) -> None:
    change = with_history(workshop)
    request = workshop.request(style=TextStyle(titles=PLAIN_TITLES))
    assert with_own_style(request, change).title == "Mend add"


def test_a_history_that_cannot_be_read_leaves_titles_plain(workshop: Workshop, tmp_path: Path) -> None:
    change = replace(with_history(workshop), git_dir=tmp_path / "nowhere")
    assert with_own_style(workshop.request(style=OWN), change).title == "Mend add"


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


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (("PULL_REQUEST_TEMPLATE.md",), "PULL_REQUEST_TEMPLATE.md"),
        (("docs/pull_request_template.md", "pull_request_template.txt"), "pull_request_template.txt"),
        ((".github/Pull_Request_Template.md", "pull_request_template"), ".github/Pull_Request_Template.md"),
        (("docs/pull_request_template.md",), "docs/pull_request_template.md"),
        ((".github/PULL_REQUEST_TEMPLATE/one.md", "src/pull_request_template.md", "my_pull_request_template.md"), None),
    ],
)  # fmt: skip
def test_the_template_is_the_one_that_github_offers(
    workshop: Workshop, files: tuple[str, ...], taken: str | None
) -> None:
    for name in files:
        workshop.agent.write(name, f"## {name}\n")
    sha = workshop.agent.commit()
    assert repository_template(workshop.agent.path / ".git", sha) == (f"## {taken}\n" if taken else "")


def test_a_link_is_no_template(workshop: Workshop) -> None:
    (workshop.agent.path / "pull_request_template.md").symlink_to("/etc/passwd")
    sha = workshop.agent.commit()
    assert repository_template(workshop.agent.path / ".git", sha) == ""


def test_the_agents_own_template_is_not_taken(workshop: Workshop) -> None:
    workshop.agent.write("pull_request_template.md", "## From the agent\n")
    workshop.agent.commit()
    request = workshop.request(style=TextStyle(template=None))
    assert with_own_style(request, workshop.verify()).style.template == ""


def test_what_adds_to_an_open_pull_request_repeats_no_template(workshop: Workshop) -> None:
    workshop.agent.write("pull_request_template.md", "## Summary\n")
    workshop.base_sha = workshop.agent.commit()
    workshop.agent.git("push", "--quiet", "origin", "HEAD:main")
    workshop.fetch()
    workshop.agent.write("src/app.py", "y = 1\n")
    workshop.agent.commit()
    change, style = workshop.verify(), TextStyle(template=None)
    assert with_own_style(workshop.request(style=style), change).style.template == "## Summary\n"
    assert with_own_style(workshop.request(style=style, follow_up="squire/x"), change).style.template == ""
