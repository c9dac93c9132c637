"""The author of the commits: whom the settings name, else the account of the token by its address at GitHub."""

import pytest

from squire_pipelines.github.lookup import Viewer
from squire_pipelines.publishing.author import NEUTRAL_EMAIL, CommitAuthor, commit_author
from squire_pipelines.sections.services import GitHubSettings

APP, PERSON = Viewer("my-app[bot]", 41898282), Viewer("mona", 583231)


@pytest.mark.parametrize(
    ("api_url", "viewer", "author"),
    [
        (
            "https://api.github.com",
            APP,
            CommitAuthor("my-app[bot]", "41898282+my-app[bot]@users.noreply.github.com"),
        ),
        ("https://api.github.com", PERSON, CommitAuthor("mona", "583231+mona@users.noreply.github.com")),
        (
            "https://ghe.example.org/api/v3",
            PERSON,
            CommitAuthor("mona", "583231+mona@users.noreply.ghe.example.org"),
        ),
        ("https://api.github.com", None, CommitAuthor("squire", NEUTRAL_EMAIL)),
        ("https://api.github.com", Viewer("a b <c>", 1), CommitAuthor("squire", NEUTRAL_EMAIL)),
    ],
)
def test_the_author_is_the_account_of_the_token(api_url: str, viewer: Viewer | None, author: CommitAuthor) -> None:
    assert commit_author(GitHubSettings(api_url=api_url), viewer) == author


def test_what_the_settings_name_wins() -> None:
    named = GitHubSettings(bot_name="Bot", bot_email="bot@example.org")
    assert commit_author(named, APP) == commit_author(named, None) == CommitAuthor("Bot", "bot@example.org")
    assert commit_author(GitHubSettings(bot_name="Bot"), PERSON).email == "583231+mona@users.noreply.github.com"


def test_without_settings_no_address_is_the_account_of_a_stranger() -> None:
    author = commit_author(GitHubSettings(), None)
    assert author.email.endswith(".invalid")
    # Git and GitHub take an address as it is, and the settings' own rule does.
    assert GitHubSettings(bot_name=author.name, bot_email=author.email).bot_email == author.email
