"""`squire doctor`: the report of all checks, which `table` has, and the repairs that are safe."""

from collections.abc import Iterator
from contextlib import suppress

import click

from squire_pipelines.cli.context import CliContext, json_option, with_context
from squire_pipelines.cli.diagnosis import Diagnosis, show_all
from squire_pipelines.cli.lazy import command
from squire_pipelines.errors import ConfigError, ExitCode, SquireError


def _open_secrets(context: CliContext) -> None:
    """Ask for the passphrase of the encrypted file where a person can be asked; the checks say what is wrong else."""
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - other checks need it not

    with suppress(ConfigError):
        unlock_store(context, context.settings.secret_sources)


def _repair(context: CliContext, *, dry_run: bool) -> Iterator[Diagnosis]:
    from squire_pipelines.cli.doctor.fix import NAME, apply_fixes, fixes_of  # noqa: PLC0415 - only for repairs

    try:
        yield from apply_fixes(fixes_of(context), dry_run=dry_run)
    except SquireError as error:
        yield Diagnosis.of_error(NAME, error)


def _report(context: CliContext, *, in_order: bool, fix: bool, dry_run: bool, ask_models: bool) -> Iterator[Diagnosis]:
    from squire_pipelines.cli.doctor.run import run_checks  # noqa: PLC0415 - the help starts sooner
    from squire_pipelines.cli.doctor.table import CHECKS, PAID_CHECKS  # noqa: PLC0415 - likewise

    if fix:
        yield from _repair(context, dry_run=dry_run)
    _open_secrets(context)
    rows = run_checks((*CHECKS, *(PAID_CHECKS if ask_models else ())), context)
    for _, row in sorted(rows, key=lambda numbered: numbered[0]) if in_order else rows:
        yield row


@command(
    "doctor",
    examples=(
        "squire doctor",
        "squire doctor --json",
        "squire doctor --model            # also ask each model a tiny question, which is paid for",
        "squire doctor --fix --dry-run    # show what --fix would repair",
    ),
)
@click.option("--model", "ask_models", is_flag=True, help="Also ask each model a question in form; it is paid for.")
@click.option("--fix", is_flag=True, help="First repair what is safe: permissions, folders, leftovers.")
@click.option("--dry-run", is_flag=True, help="With --fix: say what would be repaired, and repair nothing.")
@json_option
@with_context
def doctor(context: CliContext, *, ask_models: bool, fix: bool, dry_run: bool, as_json: bool) -> None:
    """Check what Squire needs on this machine and at GitHub, and say what to do about each thing that is not well.

    Checks run side by side, each with a time limit. Without --fix nothing is changed, but that GitHub is asked for a
    ping of the webhook. --fix never removes or changes what is yours. docs/reference/doctor.md lists the checks.

    The exit code is 1 when a check failed, else 0; a warning does not count.
    """
    if dry_run and not fix:
        raise click.UsageError("--dry-run goes with --fix")
    rows = _report(context, in_order=as_json, fix=fix, dry_run=dry_run, ask_models=ask_models)
    if show_all(rows, as_json=as_json):
        raise SystemExit(ExitCode.FAILED)
