"""`squire run`: one cycle over real repositories: collect, plan, dispatch, wait, report."""

import os

import click

from squire_pipelines.cli.context import CliContext, json_option, with_context
from squire_pipelines.cli.failures import note


def hand_on_config(context: CliContext) -> None:
    """Let child processes read the same settings as this one."""
    if context.config:
        os.environ["SQUIRE_CONFIG"] = str(context.config.absolute())


def say_retries() -> None:
    """Tell a person that a request is tried again, on standard error and in words."""
    import stamina.instrumentation  # noqa: PLC0415 - only commands that talk to GitHub need it

    def say(details: "stamina.instrumentation.RetryDetails") -> None:
        note(f"{details.caused_by}; trying again in {details.wait_for:.0f} s")

    stamina.instrumentation.set_on_retry_hooks([say])


@click.command(
    epilog="""\b
Examples:
  squire run                       one cycle over the repositories of the configuration
  squire run acme/api --dry-run    show what would be done for one repository
  squire run acme/api --timeout 3600
""",
)
@click.argument("repositories", nargs=-1, metavar="[OWNER/REPO]...")
@click.option("--dry-run", is_flag=True, help="Collect and plan, show the tasks, change nothing.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=7200,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the tasks; they go on at the next start.",
)
@json_option
@with_context
def run(context: CliContext, repositories: tuple[str, ...], timeout: float, *, dry_run: bool, as_json: bool) -> None:
    """Run one cycle: collect, plan, dispatch, wait, report.

    Uses a running `squire dev` of the same home, or starts Dagster's daemon for as long as it takes. Waits until each
    task has ended; whether its pull request is merged is for people to decide.
    """
    from squire_pipelines.runtime import one_cycle  # noqa: PLC0415 - imports what the other commands do not need

    hand_on_config(context)
    say_retries()
    names = one_cycle.chosen(context.settings, repositories)
    if dry_run:
        one_cycle.preview(context.settings, names, context.console, as_json=as_json)
        return
    raise SystemExit(
        one_cycle.run(context.settings, context.ledger, names, context.console, timeout_s=timeout, as_json=as_json)
    )
