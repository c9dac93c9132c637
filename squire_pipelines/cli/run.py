"""`squire run`: one cycle over real repositories: collect, plan, dispatch, wait, report."""

import os

import click

from squire_pipelines.cli.context import CliContext, json_option, seconds_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.home import path_in


def hand_on_config(context: CliContext) -> None:
    """Make child processes, in whatever folder, read the same settings as this one and have the same home."""
    if context.config:
        os.environ["SQUIRE_CONFIG"] = str(context.config)
    for variable in ("SQUIRE_CONFIG", "SQUIRE_HOME"):
        if (path := path_in(variable)) is not None:
            os.environ[variable] = str(path)


def show_retries() -> None:
    """Show on standard error when a request is tried again, for as long as the command runs.

    Called after GitHub's client is imported, which logs and counts the same: that holds again afterwards.
    """
    import stamina.instrumentation  # noqa: PLC0415 - only commands that talk to GitHub need it

    def show(details: "stamina.instrumentation.RetryDetails") -> None:
        note(f"{details.caused_by}; trying again in {details.wait_for:.0f} s")

    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([show])
    click.get_current_context().call_on_close(lambda: stamina.instrumentation.set_on_retry_hooks(before))


@command(
    "run",
    examples=(
        "squire run                       # one cycle over the repositories of the settings",
        "squire run acme/api --dry-run    # show what would be done for one repository",
        "squire run acme/api --timeout 3600",
    ),
)
@click.argument("repositories", nargs=-1, metavar="[OWNER/REPO]...")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Collect and plan, show the tasks, and change nothing; a model's plan costs what it costs.",
)
@seconds_option("--timeout", 7200, "Wait this long for the tasks; the next start continues them.")
@json_option
@with_context
def run(context: CliContext, repositories: tuple[str, ...], timeout: float, *, dry_run: bool, as_json: bool) -> None:
    """Run one cycle: collect, plan, dispatch, wait, report.

    The command uses a running `squire dev` of the same home, or starts Dagster's daemon for as long as it needs it. It
    waits until each task has ended. Whether a pull request is merged is for people to decide. A repository that GitHub
    does not show is left out with the reason, and one that does not answer is named; the others go on, and the exit
    code is 6. It is 1 when no repository could be read whole, a task failed or the time was up. Where no agent of the
    tasks that are left can start, the command says why and ends with that exit code (4: no engine answers, 3: no
    image). With --dry-run a model that plans is asked all the same, and what it costs counts.
    """
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - the other commands start sooner
    from squire_pipelines.runtime import dry_run as dry  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime import one_cycle  # noqa: PLC0415 - imports what the other commands do not need
    from squire_pipelines.settings.named_repositories import repositories_of_cycle  # noqa: PLC0415 - likewise

    hand_on_config(context)
    unlock_store(context, context.settings.secret_sources)
    show_retries()
    names = repositories_of_cycle(context.settings, repositories)
    if dry_run:
        raise SystemExit(dry.preview(context.settings, context.ledger, names, context.console, as_json=as_json))
    raise SystemExit(
        one_cycle.run(context.settings, context.ledger, names, context.console, timeout_s=timeout, as_json=as_json)
    )
