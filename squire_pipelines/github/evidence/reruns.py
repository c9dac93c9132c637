"""Runs failed jobs again, once for each workflow's run on a head, and reads what became of that.

What is remembered of it, and by whom, is the caller's: a second run is claimed before it is requested.
"""

import asyncio
from collections.abc import Sequence

from squire_pipelines.domain.failures import FAILED_CONCLUSIONS
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.errors import GitHubError, GitHubUnavailableError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, Text, parse

MAX_PER_READING = 10
"""Most second runs of one repository that are requested, or asked for, with one reading."""


class _JobState(GitHubModel):
    name: Text
    status: str
    conclusion: str | None = None


class _JobStates(GitHubModel):
    jobs: tuple[_JobState, ...]


async def request(client: GitHubClient, rerun: Rerun, ends_at: float) -> Rerun:
    """Ask GitHub to run the failed jobs again; a refusal is the answer's state, with what GitHub said.

    The answer is waited for until `ends_at`, by the loop's clock.

    https://docs.github.com/rest/actions/workflow-runs#re-run-failed-jobs-from-a-workflow-run
    """
    path = f"/repos/{rerun.repository}/actions/runs/{rerun.workflow_run}/rerun-failed-jobs"
    try:
        async with asyncio.timeout_at(ends_at):
            await client.post(path, {})
    except (GitHubUnavailableError, TimeoutError) as error:  # it may have been heard: the time is waited for
        return rerun.model_copy(update={"note": str(error)[:500] or "GitHub did not answer in time"})
    except GitHubError as error:
        return rerun.model_copy(update={"state": RerunState.REFUSED, "note": str(error)[:500]})
    return rerun


async def have_passed(
    client: GitHubClient, reruns: Sequence[Rerun], ends_at: float
) -> dict[tuple[str, int], bool | None]:
    """Return for each second run what `has_passed` says; what is not answered by `ends_at` is left out."""
    tasks = {rerun.subject: asyncio.create_task(has_passed(client, rerun)) for rerun in reruns}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=max(0.0, ends_at - asyncio.get_running_loop().time()))
    answers = {subject: task.result() for subject, task in tasks.items() if task.done()}
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    return answers


async def has_passed(client: GitHubClient, rerun: Rerun) -> bool | None:
    """Return whether the jobs of a workflow's run have passed; None while they run, and where it cannot be read."""
    path = f"/repos/{rerun.repository}/actions/runs/{rerun.workflow_run}/jobs"
    try:
        answer = await client.get(path, {"filter": "latest", "per_page": 100})
        jobs = parse(_JobStates, answer, request=f"GET {path}").jobs
    except GitHubError:
        return None
    if not jobs or any(job.status != "completed" for job in jobs):
        return None
    return not any(job.conclusion in FAILED_CONCLUSIONS for job in jobs)


def due(reruns: Sequence[Rerun]) -> tuple[Rerun, ...]:
    """Return those that are waited for, the oldest first, as many as one reading asks for."""
    waiting = [rerun for rerun in reruns if rerun.state is RerunState.WAITING]
    return tuple(sorted(waiting, key=lambda rerun: rerun.requested_at)[:MAX_PER_READING])
