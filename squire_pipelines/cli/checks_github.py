"""What `squire doctor` asks GitHub: whether it answers, who we are to it, and what we may do in each repository."""

from typing import Any

from squire_pipelines.cli.checks import Check
from squire_pipelines.github import permissions
from squire_pipelines.github.access import Access, AppAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info

_GRANT = "see `docs/guide/github-access.md` for the permissions"


async def check_reachable(client: GitHubClient, access: Access, api_url: str) -> Check:
    """Whether GitHub answers and knows us. The question costs no rate limit. Raises GitHubError, ConfigError."""
    if isinstance(access, AppAccess):
        return Check("github", "ok", f"{api_url} answers; GitHub App {await access.name()}")
    # https://docs.github.com/en/rest/rate-limit: does not count against the limit, any token may ask.
    answer = await client.get("/rate_limit")
    return Check("github", "ok", f"{api_url} answers{_left(answer)}")


def _left(answer: Any) -> str:
    core = (answer.get("resources") or {}).get("core") or {} if isinstance(answer, dict) else {}
    known = {"remaining", "limit"} <= core.keys()
    return f", {core['remaining']} of {core['limit']} requests left" if known else ""


async def check_permissions(client: GitHubClient, access: Access, repository: str) -> Check:
    """What we may do in one repository. Raises GitHubError, ConfigError."""
    name = f"github {repository}"
    lacking: tuple[str, ...] = ()
    if isinstance(access, AppAccess):  # before the first question: without its permissions an App gets no token
        lacking = permissions.missing((await access.installation(repository)).granted)
    if lacking:
        return Check(name, "fail", f"the App lacks {', '.join(lacking)}", _GRANT)
    info = await repository_info(client, repository)
    if info.archived:
        return Check(name, "warn", "archived: nothing can be pushed to it", "take it out of `repositories`")
    if isinstance(access, AppAccess):
        return Check(name, "ok", "the App has the permissions that it needs")
    if info.can_push is False:
        return Check(name, "fail", "the token's owner may not push", "ask for the role Write there")
    return _verdict(name, await permissions.probe(client, repository, info.default_branch or "HEAD"))


def _verdict(name: str, found: tuple[permissions.Probe, ...]) -> Check:
    def named(state: str) -> str:
        return ", ".join(f"{each.permission}: {each.level}" for each in found if each.state == state)

    if lacking := named("missing"):
        return Check(name, "fail", f"the token lacks {lacking}", _GRANT)
    if doubtful := named("unknown"):
        return Check(name, "warn", f"could not find out about {doubtful}", f"try again; {_GRANT}")
    return Check(name, "ok", "the token has the permissions that it needs")
