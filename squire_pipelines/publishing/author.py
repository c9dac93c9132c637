"""Who the author of the commits is: whom the settings name, else the account at GitHub whose the token is."""

import re
from dataclasses import dataclass

from squire_pipelines.github.lookup import Viewer
from squire_pipelines.sections.services import GitHubSettings

NEUTRAL_NAME = "squire"
NEUTRAL_EMAIL = "squire@noreply.invalid"
"""Nobody's (RFC 2606): an address at GitHub's domain that has no id is the account of its name."""

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:\[bot\])?")


@dataclass(frozen=True, slots=True)
class CommitAuthor:
    """An author as git takes one."""

    name: str
    email: str


def commit_author(github: GitHubSettings, viewer: Viewer | None) -> CommitAuthor:
    """Return the author of the commits: the same one for the same settings and account.

    GitHub shows a commit as an account's by the address `ID+LOGIN@users.noreply.HOST`; of an App the login is
    `SLUG[bot]`. See https://docs.github.com/account-and-profile/reference/email-addresses-reference.

    Args:
        github: Whose `bot_name` and `bot_email` count first.
        viewer: The account whose the token is; None where it is not asked for, or GitHub does not say.
    """
    is_known = viewer is not None and _LOGIN.fullmatch(viewer.login) is not None
    name, email = NEUTRAL_NAME, NEUTRAL_EMAIL
    if viewer is not None and is_known:
        name, email = viewer.login, f"{viewer.id}+{viewer.login}@{github.noreply_domain}"
    return CommitAuthor(github.bot_name or name, github.bot_email or email)
