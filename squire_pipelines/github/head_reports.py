"""Writes our report on a commit: one check run that is changed in place, or a status. All of it can be repeated.

A check run is made completed, with the conclusion `neutral`: nothing of it waits to be settled, whatever becomes of us.
"""

from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT, HeadReport
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, Text, parse

_PAGE = 100
_MAX_TITLE_CHARS = 250
_MAX_SUMMARY_CHARS = 65_000
_MAX_DESCRIPTION_CHARS = 140


class _CheckRun(GitHubModel):
    id: int
    external_id: Text | None = None


class _CheckRuns(GitHubModel):
    check_runs: tuple[_CheckRun, ...]


class _CommitStatus(GitHubModel):
    context: Text
    description: Text | None = None


class _CommitStatuses(GitHubModel):
    statuses: tuple[_CommitStatus, ...] = ()


async def put_check_run(
    client: GitHubClient, repository: str, head_sha: str, external_id: str, report: HeadReport, *, known: int | None
) -> int:
    """Make our check run on a commit, or change it; return its id.

    One that is not known, since the answer to its making was lost, is found by its `external_id`. Only Apps may.
    https://docs.github.com/rest/checks/runs

    Raises:
        GitHubPermissionError: The client is no App, or one without the permission Checks.
        GitHubError: GitHub cannot be reached, or does not know the commit.
    """
    run_id = known or await _find(client, repository, head_sha, external_id)
    content: dict[str, object] = {
        "name": CHECK_NAME,
        "external_id": external_id,
        "status": "completed",
        "conclusion": "neutral",
        "output": {"title": report.title[:_MAX_TITLE_CHARS], "summary": report.summary[:_MAX_SUMMARY_CHARS]},
    }
    if report.url:
        content["details_url"] = report.url
    path = f"/repos/{repository}/check-runs"
    if run_id is not None:
        await client.patch(f"{path}/{run_id}", content)
        return run_id
    return parse(_CheckRun, await client.post(path, {**content, "head_sha": head_sha}), request=f"POST {path}").id


async def _find(client: GitHubClient, repository: str, head_sha: str, external_id: str) -> int | None:
    path = f"/repos/{repository}/commits/{head_sha}/check-runs"
    params: dict[str, str | int] = {"check_name": CHECK_NAME, "filter": "all", "per_page": _PAGE}
    runs = parse(_CheckRuns, await client.get(path, params), request=f"GET {path}").check_runs
    return min((run.id for run in runs if run.external_id == external_id), default=None)


async def put_status(client: GitHubClient, repository: str, head_sha: str, report: HeadReport) -> None:
    """Set our status on a commit, unless it says so already. Raises GitHubError.

    It is a success, since GitHub has no status that neither passes nor fails.
    https://docs.github.com/rest/commits/statuses
    """
    path = f"/repos/{repository}/commits/{head_sha}/status"
    statuses = parse(_CommitStatuses, await client.get(path, {"per_page": _PAGE}), request=f"GET {path}").statuses
    description = report.title[:_MAX_DESCRIPTION_CHARS]
    if any(one.context == STATUS_CONTEXT and one.description == description for one in statuses):
        return
    content: dict[str, object] = {"state": "success", "context": STATUS_CONTEXT, "description": description}
    if report.url:
        content["target_url"] = report.url
    # Of two with the same context the later one counts.
    await client.post(f"/repos/{repository}/statuses/{head_sha}", content, repeatable=True)
