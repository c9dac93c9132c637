"""The checks of `squire doctor` that ask GitHub: whether it answers, and what Squire may do in each repository."""

from typing import Any

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.app import check_app, check_installation
from squire_pipelines.errors import SquireError
from squire_pipelines.github.access import Access, AppAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.permission_probe import PermissionProbe, probe_permissions
from squire_pipelines.github.permissions import needs_in
from squire_pipelines.settings.model import Settings

_TIMEOUT_S = 10
_ASKED_REPOSITORIES = 20
_GRANT = "see `docs/guide/github-access.md` for the permissions"


async def ask_github(settings: Settings, access: Access) -> list[Diagnosis]:
    """Ask GitHub about itself and about the first repositories of the settings."""
    timeout_s = min(settings.github.timeout_s, _TIMEOUT_S)
    github = settings.github.model_copy(update={"timeout_s": timeout_s})
    async with GitHubClient(github, access, attempts=1) as client:
        try:
            results = [await check_reachable(client, access, github.api_url)]
            results += await check_app(access, settings) if isinstance(access, AppAccess) else []
        except SquireError as error:
            return [Diagnosis.of_error("github", error)]
        for repository in settings.repositories[:_ASKED_REPOSITORIES]:
            try:
                results.append(await check_permissions(client, access, repository, settings))
            except SquireError as error:
                results.append(Diagnosis.of_error(f"github {repository}", error))
    if (left := len(settings.repositories) - _ASKED_REPOSITORIES) > 0:
        results.append(Diagnosis("github", "ok", f"{left} more repositories were not asked about"))
    return results


async def check_reachable(client: GitHubClient, access: Access, api_url: str) -> Diagnosis:
    """Check that GitHub answers and knows us, at no cost in rate limit. Raises GitHubError, ConfigError."""
    if isinstance(access, AppAccess):
        return Diagnosis("github", "ok", f"{api_url} answers; GitHub App {(await access.about()).slug}")
    # https://docs.github.com/en/rest/rate-limit: does not count against the limit, any token may ask.
    answer = await client.get("/rate_limit")
    return Diagnosis("github", "ok", f"{api_url} answers{_left(answer)}")


def _left(answer: Any) -> str:
    core = (answer.get("resources") or {}).get("core") or {} if isinstance(answer, dict) else {}
    known = {"remaining", "limit"} <= core.keys()
    return f", {core['remaining']} of {core['limit']} requests left" if known else ""


async def check_permissions(client: GitHubClient, access: Access, repository: str, settings: Settings) -> Diagnosis:
    """Check what Squire may do in one repository. Raises GitHubError, ConfigError."""
    name = f"github {repository}"
    granted: Diagnosis | None = None
    if isinstance(access, AppAccess):  # before the first question: without its permissions an App gets no token
        granted = check_installation(name, await access.installation(repository), needs_in(settings, repository))
        if granted.status == "fail":
            return granted
    info = await repository_info(client, repository)
    if info.archived:
        return Diagnosis(name, "warn", "archived: nothing can be pushed to it", "remove it from `repositories`")
    if granted is not None:
        return granted
    if info.can_push is False:
        return Diagnosis(name, "fail", "the token's owner may not push", "ask for the role Write in the repository")
    branch, writes = info.default_branch or "HEAD", needs_in(settings, repository).useful.get("statuses") == "write"
    return _verdict(name, await probe_permissions(client, repository, branch, writes_statuses=writes))


def _verdict(name: str, probes: tuple[PermissionProbe, ...]) -> Diagnosis:
    def in_state(state: str) -> str:
        return ", ".join(f"{probe.permission}: {probe.level}" for probe in probes if probe.state == state)

    required = [probe for probe in probes if (probe.permission, probe.level) != ("statuses", "write")]
    if any(probe.state == "missing" for probe in required):
        return Diagnosis(name, "fail", f"the token lacks {in_state('missing')}", _GRANT)
    if lacking := in_state("missing"):
        return Diagnosis(name, "warn", f"the token lacks {lacking}, which the settings have a use for", _GRANT)
    if hidden := in_state("not_found"):
        step = f"{_GRANT}; a server that is not GitHub may not have what was asked for"
        return Diagnosis(name, "warn", f"404 for {hidden}: the token may lack it", step)
    if doubtful := in_state("unknown"):
        return Diagnosis(name, "warn", f"could not find out about {doubtful}", f"try again; {_GRANT}")
    return Diagnosis(name, "ok", "the token has the permissions that it needs")
