"""`squire agents build`: makes an image for each agent's program on this machine's engine, from public registries."""

import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import size
from squire_pipelines.errors import EngineError
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.agents.images import ProgramImage
    from squire_pipelines.agents.program_locks import Program

LIST_TIMEOUT_S = 30.0
_COLUMNS: Columns = {
    "program": "name",
    "version": "version",
    "from": "registry",
    "licence": lambda row: row["licence"] + ("" if row["ours_to_ship"] else ", built by you alone"),
    "image": lambda row: row["image"]["tag"] if row["image"] else "not built",
    "size": lambda row: size(row["image"]["size_bytes"]) if row["image"] else "",
    "": lambda row: f"build it again: {row['image']['outdated']}" if row["image"] and row["image"]["outdated"] else "",
}


@command(
    "build",
    examples=("squire agents build claude-code", "squire agents build codex gemini", "squire agents build --list"),
)
@click.argument("names", metavar="PROGRAM", nargs=-1)
@click.option("--all", "build_all", is_flag=True, help="Build the image of every program.")
@click.option("--list", "only_list", is_flag=True, help="Show the programs, their locked versions and what is built.")
@click.option("--no-cache", is_flag=True, help="Download everything again.")
@click.option("--worker-image", metavar="IMAGE", help="Add the program to this image, not to squire-worker:latest.")
@json_option
@with_context
def build(
    context: CliContext,
    names: tuple[str, ...],
    worker_image: str | None,
    *,
    build_all: bool,
    only_list: bool,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Build the images of agents' programs: the worker image, and the program of the locked version from npm or PyPI.

    Everything that goes in is checked against the integrity in the program's lock. No script of a package is run
    during the build. The agent of that name uses the image from then on, unless `agent.image` names another.
    """
    from squire_pipelines.agent_names import WORKER_IMAGE  # noqa: PLC0415 - with what is loaded below
    from squire_pipelines.agents import engine, images  # noqa: PLC0415 - Docker's client
    from squire_pipelines.agents.program_locks import find_program, programs  # noqa: PLC0415 - reads all locks

    if only_list:
        _list(context, tuple(programs().values()), as_json=as_json)
        return
    selected = tuple(programs().values()) if build_all else tuple(find_program(name) for name in dict.fromkeys(names))
    if not selected:
        raise click.UsageError(f"name a program, or --all; there are {', '.join(programs())}")
    worker_image = worker_image or WORKER_IMAGE
    built = []
    with closing(engine.connect(images.SILENT_STEP_S, image=worker_image)) as client:
        for program in selected:
            began = time.monotonic()
            image = images.build_image(
                client,
                program,
                worker_image=worker_image,
                use_cache=not no_cache,
                progress=partial(_tell, program.name),
            )
            built.append(image)
            if not as_json:
                write_line(f"{image.tag}, {size(image.size_bytes)}, {time.monotonic() - began:.0f} s")
    if as_json:
        emit_json(built)


def _tell(name: str, line: str) -> None:
    write_line(f"{name}: {line}", err=True)


def _list(context: CliContext, known: "tuple[Program, ...]", *, as_json: bool) -> None:
    from squire_pipelines.agents import engine, images  # noqa: PLC0415 - Docker's client

    newest: dict[str, ProgramImage] = {}
    problem: EngineError | None = None
    try:
        with closing(engine.connect(LIST_TIMEOUT_S)) as client:
            for image in images.list_images(client):
                newest.setdefault(image.program, image)
    except EngineError as error:
        problem = error  # the locks can be listed without an engine
    rows: list[dict[str, Any]] = [
        {
            "name": program.name,
            "title": program.title,
            "version": program.version,
            "registry": program.registry,
            "package": program.package,
            "licence": program.licence,
            "ours_to_ship": program.ours_to_ship,
            "image": asdict(newest[program.name]) if program.name in newest else None,
        }
        for program in known
    ]
    if as_json:
        emit_json({"programs": rows, "problem": problem.message if problem else None})
        return
    context.write_rows(rows, _COLUMNS, spare=("from", "licence"), wrap=("",))
    if problem is not None:
        write_line(f"what is built is not known: {problem.message}", err=True)
