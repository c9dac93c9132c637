"""`squire init --pull-request`: asks a repository for its consent by a pull request."""

import asyncio

import click

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.execution.onboarding import OnboardingContext, Proposal, propose
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.terminal.output import write_line


def ask_repository(context: CliContext, repository: str | None, *, again: bool) -> None:
    """Open the pull request that asks, or name the one that does.

    Raises:
        UsageError: No repository is named.
        RefusedError, GitHubError, GitError: See `propose`.
    """
    if repository is None:
        raise click.UsageError("--again belongs to --pull-request")
    settings = context.settings
    name = settings.spelling_of(repository) or repository
    is_listed = settings.spelling_of(repository) is not None
    access_to_all(settings, required=True)
    github = GitHub(settings, context.ledger)

    async def ask() -> Proposal:
        token = await github.git_token(name)
        async with github.client() as client:
            onboarding = OnboardingContext(client, context.ledger, settings, token, actor(), new_trace_id())
            return await propose(onboarding, name, again=again)

    proposal = asyncio.run(ask())
    pull = proposal.pull_request
    if proposal.created:
        write_line(f"opened {pull.url}; it shows {counted(proposal.tasks, 'task')} that would be planned")
    else:
        write_line(f"{pull.url} is {pull.state} already")
    if pull.state == "open":
        write_line("Nothing is started in this repository before it is merged.")
    if not is_listed:
        write_line(f"Add {name} to `repositories`, so that Squire reads it: `squire config edit`.")
