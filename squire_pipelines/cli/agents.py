"""`squire agents list|probe|sbom`: what an agent would run in, right now. Asks the container engine."""

import json
import os
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.agent_names import WITH_IMAGE, names
from squire_pipelines.cli.agents_history import ASSIGNED_COLUMNS, USE_COLUMNS, assigned_agents, read_history
from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.failures import fail, note
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.text import size
from squire_pipelines.errors import ConfigError, EngineError, ExitCode
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    import docker

TIMEOUT_S, SBOM_TIMEOUT_S, PROBE_TIMEOUT_S = 5.0, 30.0, 120.0
_CLI = "squire_pipelines.cli"
agents = LazyGroup(
    name="agents",
    help="Build, check and show agents, with what they cost and how they did; the engine, the image and the runner.",
    lazy={
        "build": Lazy(f"{_CLI}.agents_build:build", "Build the images that agents' programs run in."),
        "check": Lazy(f"{_CLI}.agents_check:check", "Start each agent's image, and ask its program and its provider."),
        "show": Lazy(f"{_CLI}.agents_show:show", "Show what an agent may do."),
        "transcript": Lazy(f"{_CLI}.agents_show:transcript", "Show what an agent did in an attempt."),
    },
)
_KINDS: Columns = {
    "kind": "name",
    "from": "origin",
    "model's protocol": "protocols",
    "image of its own": "image",
    "problem": "problem",
}
_TRIALS: Columns = {
    "what": "kind",
    "name": "name",
    "wanted": "expected",
    "found": "actual",
    "": lambda trial: "ok" if trial.ok else "WRONG",
}


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """What an agent would run in. `runner` is empty when it could not run; `problem` says why."""

    agent: str
    model: str | None
    runner: str = ""
    sandboxed: bool = False
    engine: str | None = None
    engine_host: str | None = None
    runtime: str = ""
    lacking: tuple[str, ...] = ()
    runtime_problem: str | None = None
    image: str = ""
    image_id: str | None = None
    image_bytes: int | None = None
    outdated: str = ""
    problem: str = ""
    hint: str = ""


def choose_runner(agent: AgentSettings, *, engine: bool) -> str:
    """Return the runner that these settings get, by the runner's own rule; empty when there is none."""
    if agent.runner in {"local", "kubernetes"}:
        return agent.runner
    if engine:
        return "docker"
    return "local" if agent.runner == "auto" and agent.kind == "command" else ""


def find_place(agent: AgentSettings) -> AgentPlace:
    """Ask the engine, within a few seconds, what this agent would run in."""
    from squire_pipelines.agents import engine as engines  # noqa: PLC0415 - Docker's client, needed by no other command
    from squire_pipelines.agents import engine_kinds  # noqa: PLC0415 - likewise
    from squire_pipelines.agents.endings import image_hint  # noqa: PLC0415 - likewise

    place = AgentPlace(agent.kind, agent.model, image=agent.worker_image)
    if agent.runner == "kubernetes":
        return replace(place, runner=agent.runner, sandboxed=True)
    try:
        with closing(engines.connect(TIMEOUT_S, image=agent.worker_image)) as client:
            info = engines.describe(client)
            in_gvisor = info.in_gvisor(agent.runtime)
            place = replace(
                place,
                engine=f"{info.name} {info.version}",
                engine_host=info.host,
                runtime=engine_kinds.runtime_of(info.answer, agent.runtime),
                lacking=engine_kinds.lacking(info.kind, in_gvisor=in_gvisor),
                runtime_problem=engine_kinds.runtime_problem(agent.limits.pids, in_gvisor=in_gvisor),
            )
            place = _with_image(place, client)
    except EngineError as error:
        host = os.environ.get("DOCKER_HOST")
        hint = error.hint if not host else f"DOCKER_HOST is {host}, and nothing else is tried: change it or unset it"
        place = replace(place, problem=error.message, hint=hint)
    runner = choose_runner(agent, engine=place.engine is not None)
    if runner == "docker" and place.image_id is None and not place.problem:
        problem = f"the worker image {agent.worker_image} is not on the engine"
        place = replace(place, problem=problem, hint=image_hint(agent.worker_image))
    return replace(place, runner=runner, sandboxed=runner == "docker")


def _with_image(place: AgentPlace, client: "docker.DockerClient") -> AgentPlace:
    import requests  # noqa: PLC0415 - loaded with Docker's client
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415 - likewise

    try:
        image = client.images.get(place.image)
    except ImageNotFound:
        return place
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine does not say whether it has {place.image}: {error}") from error
    from squire_pipelines.agents.images import why_outdated  # noqa: PLC0415 - likewise

    size_bytes = int(image.attrs.get("Size", 0))
    return replace(place, image_id=str(image.id), image_bytes=size_bytes, outdated=why_outdated(client, image.labels))


@agents.command("list", examples=("squire agents list", "squire agents list --json"))
@json_option
@with_context
def list_agents(context: CliContext, *, as_json: bool) -> None:
    """Show what the agent of the settings would run in, every agent that there is, and which of them tasks get.

    With it stands what each agent has cost and how it did, from the warehouse: attempts, merged pull requests, the cost
    of each, and the median of the time that it ran.
    """
    place = find_place(context.settings.agent_for(""))
    kinds = _kinds()
    assigned = list(assigned_agents(context))
    uses, why_none = read_history(context)
    if as_json:
        emit_json({**asdict(place), "agents": kinds, "assigned": assigned, "history": uses})
        return
    sandbox = "in a container" if place.sandboxed else "on this machine, which is no sandbox"
    in_cluster = place.runner == "kubernetes"
    shown_size = size(place.image_bytes or 0) if place.image_id else "not there"
    rows = [
        ("agent", f"{place.agent}{f', model {place.model}' if place.model else ''}"),
        ("engine", f"{place.engine} at {place.engine_host}" if place.engine else "" if in_cluster else "none"),
        ("image", place.image if in_cluster else f"{place.image}, {shown_size}"),
        ("runner", f"{place.runner}: {sandbox}" if place.runner else "none: the agent cannot run"),
        ("image is old", place.outdated),
        ("problem", place.problem),
        ("next step", place.hint),
    ]
    context.write_table(("", "what"), [row for row in rows if row[1]], wrap=("what",))
    context.write_rows(kinds, _KINDS, wrap=tuple(_KINDS)[1:])
    write_line("Tasks get:")
    context.write_rows(assigned, ASSIGNED_COLUMNS, wrap=("by",))
    if uses:
        write_line("By our own history:")
        context.write_rows(uses, USE_COLUMNS, spare=("a merged one", "median time"))
    elif why_none:
        write_line(f"No history: {why_none}")
    write_line("`squire agents show NAME` has how one is started and what it may do.")


def _kinds() -> list[dict[str, str]]:
    """Return what `agent.kind` may be, with where each comes from; a package that cannot be used says why."""
    from squire_pipelines.agents.adapters.registry import find, provider_of  # noqa: PLC0415 - loads packages of others

    kinds = []
    for name in names():
        try:
            protocols, problem = ", ".join(find(name).protocols), ""
        except ConfigError as error:
            protocols, problem = "", error.message
        image = f"squire agents build {name}" if name in WITH_IMAGE else ""
        kinds.append(
            {"name": name, "origin": provider_of(name), "protocols": protocols, "image": image, "problem": problem}
        )
    return kinds


@agents.command("sbom", examples=("squire agents sbom", "squire agents sbom --output sbom.cdx.json"))
@click.option("--image", help="Read this image instead of the one that the settings name.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@with_context
def sbom(context: CliContext, image: str | None, output: Path | None) -> None:
    """Write the worker image's bill of materials: CycloneDX 1.5, for scanners and for people."""
    from squire_pipelines.agents import engine  # noqa: PLC0415 - docker, only here
    from squire_pipelines.agents.sbom import read_sbom  # noqa: PLC0415 - likewise

    image = image or context.settings.agent_for("").worker_image
    with closing(engine.connect(SBOM_TIMEOUT_S, image=image)) as client:
        text = read_sbom(client, image)
    if output is None:
        write_line(text, end="")
        return
    output.write_text(text, encoding="utf-8")
    note(f"{len(json.loads(text)['components'])} components are in {output}")


@agents.command("probe", examples=("squire agents probe", "squire agents probe --failed", "squire agents probe --json"))
@click.option("--failed", is_flag=True, help="Show only what did not end as it must.")
@json_option
@with_context
def probe(context: CliContext, *, failed: bool, as_json: bool) -> None:
    """Start a container with the settings' image, limits and profile, and try from inside what it must not do.

    Lists every system call, socket family, path and capability with what came of it, and the limits as seen from
    inside. The exit code is 1 when something did not end as it must.
    """
    from squire_pipelines.agents import engine, preflight  # noqa: PLC0415 - Docker's client
    from squire_pipelines.agents.probe import run_probe  # noqa: PLC0415 - likewise

    agent = context.settings.agent_for("")
    with closing(engine.connect(PROBE_TIMEOUT_S, image=agent.worker_image)) as client:
        preflight.check_engine(agent, client)
        trials = run_probe(client, agent)
    wrong = [trial for trial in trials if not trial.ok]
    shown = wrong if failed else trials
    if as_json:
        emit_json([trial.document() for trial in shown])
    else:
        context.write_rows(shown, _TRIALS, wrap=tuple(_TRIALS))
        write_line(f"{len(trials)} tried, {len(wrong)} wrong")
    if wrong:
        fail(f"{len(wrong)} of {len(trials)} did not end as they must", "docs/security.md says what each is for")
        raise SystemExit(ExitCode.FAILED)
