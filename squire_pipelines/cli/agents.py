"""`squire agents`: what an agent would run in, right now. Asks the engine; changes nothing."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from squire_pipelines.cli.agents_probe import probe
from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.lazy import Lazy, LazyGroup, command
from squire_pipelines.cli.text import size
from squire_pipelines.errors import EngineError
from squire_pipelines.sections import AgentSettings

if TYPE_CHECKING:
    import docker

TIMEOUT_S = 5.0
_CLI = "squire_pipelines.cli"
agents = LazyGroup(
    name="agents",
    help="The agents, the engine, the worker image and the runner.",
    lazy={
        "show": Lazy(f"{_CLI}.agents_show:show", "What an agent may do."),
        "transcript": Lazy(f"{_CLI}.agents_show:transcript", "What an agent did in an attempt."),
        "sbom": Lazy(f"{_CLI}.agents_sbom:sbom", "The worker image's bill of materials."),
    },
)


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """What an agent would run in. `runner` is empty when it could not run; `problem` says why."""

    agent: str
    model: str | None
    runner: str
    sandboxed: bool
    engine: str | None
    engine_host: str | None
    image: str
    image_id: str | None
    image_bytes: int | None
    problem: str
    hint: str


def choose(agent: AgentSettings, *, engine: bool) -> str:
    """The runner that these settings get, by the same rule as the runner's own; empty when there is none."""
    if agent.runner == "local":
        return "local"
    if engine:
        return "docker"
    return "local" if agent.runner == "auto" and agent.kind == "command" else ""


def look(agent: AgentSettings) -> AgentPlace:
    """Ask the engine, within a few seconds."""
    from squire_pipelines.agents import engine as engines  # noqa: PLC0415 - Docker's client, needed by no other command
    from squire_pipelines.agents.endings import IMAGE_HINT  # noqa: PLC0415 - likewise

    name = host = image_id = None
    image_bytes = None
    problem = hint = ""
    try:
        client = engines.connect(TIMEOUT_S, image=agent.image)
    except EngineError as error:
        problem, hint = error.message, error.hint
    else:
        try:
            info = engines.describe(client)
            name, host = f"{info.name} {info.version}", info.host
            image_id, image_bytes = _image(client, agent.image)
        except EngineError as error:
            problem, hint = error.message, error.hint
        finally:
            client.close()
    runner = choose(agent, engine=name is not None)
    if runner == "docker" and image_id is None and not problem:
        problem, hint = f"the worker image {agent.image} is not on the engine", IMAGE_HINT
    return AgentPlace(
        agent=agent.kind,
        model=agent.model,
        runner=runner,
        sandboxed=runner == "docker",
        engine=name,
        engine_host=host,
        image=agent.image,
        image_id=image_id,
        image_bytes=image_bytes,
        problem=problem,
        hint=hint,
    )


def _image(client: "docker.DockerClient", name: str) -> tuple[str | None, int | None]:
    import requests  # noqa: PLC0415 - loaded with Docker's client
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415 - likewise

    try:
        image = client.images.get(name)
    except ImageNotFound:
        return None, None
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine does not say whether it has {name}: {error}") from error
    return str(image.id), int(image.attrs.get("Size", 0))


@command("list", examples=("squire agents list", "squire agents list --json"))
@json_option
@pass_cli_context
def list_agents(context: CliContext, *, as_json: bool) -> None:
    """Show the agent of the settings, the engine, the worker image and the runner that follows from them."""
    place = look(context.settings.agent)
    if as_json:
        emit_json(asdict(place))
        return
    image = f"{place.image}, {size(place.image_bytes or 0)}" if place.image_id else f"{place.image}, not there"
    sandbox = "in a container" if place.sandboxed else "on this machine, which is no sandbox"
    rows = [
        ("agent", f"{place.agent}{f', model {place.model}' if place.model else ''}"),
        ("engine", f"{place.engine} at {place.engine_host}" if place.engine else "none"),
        ("image", image),
        ("runner", f"{place.runner}: {sandbox}" if place.runner else "none: the agent cannot run"),
        ("problem", place.problem),
        ("next step", place.hint),
    ]
    context.console.print(table(("", "what"), [row for row in rows if row[1]]))


agents.add_command(list_agents)
agents.add_command(probe)
