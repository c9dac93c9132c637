"""`squire doctor`: the report of the checks, each line with its next step."""

from dataclasses import asdict

import click

from squire_pipelines.cli.checks import Check, run_checks
from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import one_line
from squire_pipelines.errors import ExitCode

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _write(check: Check) -> None:
    click.echo(
        f"{click.style(f'{check.status:<5}', fg=_COLORS[check.status])}{check.name:<15} {one_line(check.message)}"
    )
    if check.next_step and check.status != "ok":
        click.echo(f"{'':<21}next: {one_line(check.next_step)}")


@command("doctor", examples=("squire doctor", "squire doctor --json"))
@json_option
@pass_cli_context
def doctor(context: CliContext, *, as_json: bool) -> None:
    """Check what Squire needs: Python, git, settings, ledger, engine, image, warehouse, secrets, GitHub.

    Nothing is changed. The exit code is 1 when a check failed; a warning does not count.
    """
    done: list[Check] = []
    for check in run_checks(context):
        done.append(check)
        if not as_json:
            _write(check)
    if as_json:
        emit_json([asdict(check) for check in done])
    if any(check.status == "fail" for check in done):
        click.get_current_context().exit(int(ExitCode.FAILED))
