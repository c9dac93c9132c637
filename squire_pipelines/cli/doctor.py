"""`squire doctor`: the report of the checks, each line with its next step."""

import click

from squire_pipelines.cli.checks import run_checks
from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import one_line
from squire_pipelines.errors import ExitCode

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _write(result: Diagnosis) -> None:
    status = click.style(f"{result.status:<5}", fg=_COLORS[result.status])
    click.echo(f"{status}{result.name:<15} {one_line(result.message)}")
    if result.next_step and result.status != "ok":
        click.echo(f"{'':<21}next: {one_line(result.next_step)}")


@command("doctor", examples=("squire doctor", "squire doctor --json"))
@json_option
@with_context
def doctor(context: CliContext, *, as_json: bool) -> None:
    """Check what Squire needs: Python, git, settings, ledger, engine, image, warehouse, secrets, GitHub.

    Nothing is changed. The exit code is 1 when a check failed; a warning does not count.
    """
    results: list[Diagnosis] = []
    for result in run_checks(context):
        results.append(result)
        if not as_json:
            _write(result)
    if as_json:
        emit_json(results)
    if any(result.status == "fail" for result in results):
        raise SystemExit(ExitCode.FAILED)
