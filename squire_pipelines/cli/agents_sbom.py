"""`squire agents sbom`: the bill of materials that the worker image carries."""

import json
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, pass_cli_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command

_TIMEOUT_S = 30.0


@command("sbom", examples=("squire agents sbom", "squire agents sbom --output sbom.cdx.json"))
@click.option("--image", help="By default the one that the settings name.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of standard output.")
@pass_cli_context
def sbom(context: CliContext, image: str | None, output: Path | None) -> None:
    """Write the worker image's bill of materials: CycloneDX 1.5, for scanners and for people."""
    from squire_pipelines.agents import engine  # noqa: PLC0415 - docker, only here
    from squire_pipelines.agents.sbom import read_sbom  # noqa: PLC0415 - likewise

    wanted = image or context.settings.agent.image
    client = engine.connect(_TIMEOUT_S, image=wanted)
    try:
        text = read_sbom(client, wanted)
    finally:
        client.close()
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    note(f"{len(json.loads(text)['components'])} components in {output}")
