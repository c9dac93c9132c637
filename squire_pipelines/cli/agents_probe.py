"""`squire agents probe`: what an agent's container can do on this engine, tried from inside."""

from dataclasses import asdict

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.errors import ExitCode

_TIMEOUT_S = 120.0


@command("probe", examples=("squire agents probe", "squire agents probe --failed", "squire agents probe --json"))
@click.option("--failed", is_flag=True, help="Only what did not come out as it must.")
@json_option
@pass_cli_context
def probe(context: CliContext, *, failed: bool, as_json: bool) -> None:
    """Start a container with the settings' image, limits and profile, and try from inside what it must not do.

    Lists every system call, socket family, path and capability with what came of it, and the limits as seen from
    inside. The exit code is 1 when something did not come out as it must.
    """
    from squire_pipelines.agents import engine, preflight  # noqa: PLC0415 - Docker's client
    from squire_pipelines.agents.probe import run_probe  # noqa: PLC0415 - likewise

    agent = context.settings.agent
    client = engine.connect(_TIMEOUT_S, image=agent.image)
    try:
        preflight.check_engine(agent, client)
        tried = run_probe(client, agent)
    finally:
        client.close()
    wrong = [each for each in tried if not each.ok]
    shown = wrong if failed else tried
    if as_json:
        emit_json([asdict(each) for each in shown])
    else:
        rows = [(each.kind, each.name, each.wanted, each.found, "ok" if each.ok else "WRONG") for each in shown]
        context.console.print(table(("what", "name", "wanted", "found", ""), rows))
        click.echo(f"{len(tried)} tried, {len(wrong)} wrong")
    if wrong:
        fail(f"{len(wrong)} of {len(tried)} did not come out as they must", "see docs/security.md")
        click.get_current_context().exit(int(ExitCode.FAILED))
