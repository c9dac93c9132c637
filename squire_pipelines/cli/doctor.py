"""`squire doctor`: a check for each thing that Squire needs. None changes anything."""

import asyncio
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from squire_pipelines.cli.context import CliContext, json_option, with_context
from squire_pipelines.cli.diagnosis import Diagnosis, Status, show_all
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import counted, size
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ConfigError, ExitCode, NotFoundError, SquireError
from squire_pipelines.home import no_file_hint, why_not_writable
from squire_pipelines.secret_names import variables_of

if TYPE_CHECKING:
    from squire_pipelines.cli.agents import AgentPlace

MIN_GIT = (2, 39)  # Debian 12's, the oldest that the tests run on
MIN_FREE_BYTES = 2**30
_GIT_TIMEOUT_S = 10
_QUERY_TIMEOUT_S = 10


def check_python(_context: CliContext) -> Iterator[Diagnosis]:
    """Check the interpreter."""
    if sys.prefix != sys.base_prefix:
        yield Diagnosis("python", "ok", f"{platform.python_version()} in a virtual environment")
    else:
        step = "install Squire into an environment of its own, for example with `make setup`"
        yield Diagnosis("python", "warn", f"{platform.python_version()} without a virtual environment", step)


def check_git(_context: CliContext) -> Iterator[Diagnosis]:
    """Check the git command, and the part of it with which the demo serves repositories."""
    try:
        text = _git("--version")
        folder = Path(_git("--exec-path").strip())
    except (OSError, subprocess.SubprocessError) as error:
        yield Diagnosis("git", "fail", f"git does not run: {one_line(str(error))}", "install git")
        return
    numbers = re.search(r"(\d{1,9})\.(\d{1,9})", text)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if version < MIN_GIT:
        yield Diagnosis("git", "warn", one_line(text), f"install git {MIN_GIT[0]}.{MIN_GIT[1]} or newer")
    elif not (folder / "git-http-backend").exists():
        yield Diagnosis("git", "warn", f"{one_line(text)}, without http-backend", "install all of git for the demo")
    else:
        yield Diagnosis("git", "ok", one_line(text))


def _git(argument: str) -> str:
    done = subprocess.run(["git", argument], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True)
    return done.stdout


def check_settings(context: CliContext) -> Iterator[Diagnosis]:
    """Check the settings and the repositories that they name."""
    count = len(context.settings.repositories)
    if count:
        yield Diagnosis("settings", "ok", f"{count} repositor{'y' if count == 1 else 'ies'}")
    else:
        file = context.config_path
        if file.is_file():
            missing, step = f"no repository is named in {file}", "name some in `repositories`"
        else:
            missing, step = f"no repository is named: {file} does not exist", no_file_hint(file)
        yield Diagnosis("settings", "warn", missing, step)


def check_disk(context: CliContext) -> Iterator[Diagnosis]:
    """Check the room on the disk that has the ledger and the attempts' folders."""
    folder = context.home.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{size(free)} free at {folder}"
    is_enough = free >= MIN_FREE_BYTES
    if (cause := why_not_writable(folder)) is not None:
        step = "make it writable, or set SQUIRE_HOME to another folder; until then only reading works"
        yield Diagnosis("disk", "fail", cause, step)
        return
    yield Diagnosis("disk", "ok", text) if is_enough else Diagnosis("disk", "warn", text, "free some space")


def check_ledger(context: CliContext) -> Iterator[Diagnosis]:
    """Check the ledger's file and schema."""
    from squire_pipelines.ledger.integrity import check_integrity  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    try:
        report = check_integrity(context.settings.resolved_ledger_url, quick=True)
    except NotFoundError as error:
        yield Diagnosis("ledger", "ok", error.message)  # the first run creates it
        return
    if report.problems:
        yield Diagnosis("ledger", "fail", report.problems[0], "`squire ledger check` shows all problems")
    else:
        tasks = report.rows.get("tasks", 0)
        yield Diagnosis("ledger", "ok", f"{report.place}, schema {report.revision}, {counted(tasks, 'task')}")
        yield from _check_names(context)


def _check_names(context: CliContext) -> Iterator[Diagnosis]:
    """Tell which repositories of the settings are not what their names say, as the newest look found them."""
    from squire_pipelines.ledger import repositories  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    with context.ledger.read() as tx:
        for known in repositories.not_as_named(tx, context.settings.repositories):
            yield Diagnosis(f"repository {known.repository}", "warn", known.message or known.state.value)


def check_engine(context: CliContext) -> Iterator[Diagnosis]:
    """Check the container engine, the worker image, and the runner that follows from them."""
    from squire_pipelines.cli.agents import find_place  # noqa: PLC0415 - Docker's client, not needed if the settings fail
    from squire_pipelines.execution.agent_checks import check_agents  # noqa: PLC0415 - likewise

    place = find_place(context.settings.agent_for(""))
    try:
        check_agents(context.settings)
    except ConfigError as error:
        yield Diagnosis.of_error("agent", error)
    if place.engine:
        yield Diagnosis("engine", "ok", f"{place.engine} at {place.engine_host}")
        yield _check_image(place)
        # Repositories with an agent of another kind run in other images.
        agents = (context.settings.agent_for(name, choice) for name, choice in context.settings.every_orderable_choice)
        others = {agent.worker_image: agent for agent in agents if agent.worker_image != place.image}
        yield from (_check_image(find_place(agent)) for agent in others.values())
    else:
        yield Diagnosis("engine", "warn" if place.runner else "fail", place.problem, place.hint)
    if place.runner == "local":
        step = "start a container engine before you use untrusted repositories: local agents are not confined"
        yield Diagnosis("runner", "warn", "local, which is no sandbox", step)
    elif place.runner and place.image_id:
        yield from _check_place(context, place.agent)


def _check_image(place: "AgentPlace") -> Diagnosis:
    from squire_pipelines.agents.endings import image_hint  # noqa: PLC0415 - not needed if the settings fail

    if place.image_id is None:
        status: Status = "fail" if place.runner == "docker" else "warn"
        return Diagnosis("image", status, f"{place.image} is not on the engine", place.hint)
    if place.outdated:
        return Diagnosis("image", "warn", f"{place.image}: {place.outdated}", image_hint(place.image))
    return Diagnosis("image", "ok", place.image)


def check_executor(context: CliContext) -> Iterator[Diagnosis]:
    """Check that step containers can run where the settings ask for them."""
    if context.settings.pipeline.executor != "docker":
        return
    from squire_pipelines.execution import step_executor  # noqa: PLC0415 - Docker's client

    step_executor.check_executor(context.settings)
    yield Diagnosis("executor", "ok", f"docker, with the image {context.settings.pipeline.image}")


def _check_place(context: CliContext, agent: str) -> Iterator[Diagnosis]:
    """Check what the dispatch sensor asks of the engine before it starts anything."""
    from squire_pipelines.agents.preflight import check_startable  # noqa: PLC0415 - Docker's client

    settings = context.settings
    problems: dict[str, SquireError] = {}
    for configured in (
        settings.agent_for(""),
        *(settings.agent_for(*choice) for choice in context.settings.every_orderable_choice),
    ):
        try:
            check_startable(configured)
        except SquireError as error:
            problems.setdefault(error.message, error)
    if not problems:
        yield Diagnosis("runner", "ok", f"{agent} in a container")
    for problem in problems.values():
        yield Diagnosis.of_error("runner", problem)


def check_warehouse(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the warehouse's file answers a query."""
    path = context.home.warehouse
    if not path.exists():
        yield Diagnosis("warehouse", "ok", "not published yet: the first run publishes it")
        return
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, only when there is a file

    run_query(path, "select 1", limit=1, timeout_s=_QUERY_TIMEOUT_S)
    yield Diagnosis("warehouse", "ok", f"{path}, {size(path.stat().st_size)}")


def check_secrets(context: CliContext) -> Iterator[Diagnosis]:
    """Check which secrets are found, of those that the settings have a use for."""
    from squire_pipelines.cli.doctor_secrets import check_places  # noqa: PLC0415 - not needed if the settings fail
    from squire_pipelines.cli.secret_places import all_names  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.secrets import secret_statuses  # noqa: PLC0415 - likewise
    from squire_pipelines.provider_uses import provider_uses  # noqa: PLC0415 - likewise

    settings = context.settings
    used = {use.provider.secret for use in provider_uses(settings)}
    unused = "github-token" if settings.github.app_id else "github-app-key"
    yield from check_places(settings.secret_sources, all_names(settings.provider_secrets))
    for secret in secret_statuses(settings.secret_sources, settings.provider_secrets):
        name = secret.name
        if secret.is_broken:
            yield Diagnosis(name, "fail", secret.problem)
        elif secret.is_found:
            yield Diagnosis(name, "ok", secret.where)
        elif name in settings.provider_secrets and name not in used:
            yield Diagnosis(name, "ok", "not set, and no model of its provider is set")
        elif name != unused:
            why = _NEEDED_FOR.get(name, "the model that the settings name needs it")
            step = secret.problem or f"run `squire secrets set {name}`, or set {variables_of(name)[0]}"
            yield Diagnosis(name, "warn", "missing", f"{step} ({why})")


_NEEDED_FOR = {
    "github-token": "reading from GitHub and pushing to it need it, the demo does not",
    "github-app-key": "the GitHub App that the settings name needs it",
    "webhook-secret": "without it no delivery is accepted, and only the schedule makes Squire read the repositories",
}


def check_providers(context: CliContext) -> Iterator[Diagnosis]:
    """Check that each provider of a model that is used takes its key and knows the model."""
    from squire_pipelines.cli.doctor_providers import ask_providers  # noqa: PLC0415 - httpx, only here

    yield from ask_providers(context.settings)


def check_github(context: CliContext) -> Iterator[Diagnosis]:
    """Check that GitHub answers, and that Squire may do its work in each repository of the settings."""
    from squire_pipelines.cli.doctor_github import ask_github  # noqa: PLC0415 - httpx, only here
    from squire_pipelines.github.access import access_from  # noqa: PLC0415 - likewise

    access = access_from(context.settings)
    if not access.is_anonymous:
        yield from asyncio.run(ask_github(context.settings, access))


_CHECKS: tuple[Callable[[CliContext], Iterator[Diagnosis]], ...] = (
    check_python,
    check_git,
    check_settings,
    check_disk,
    check_ledger,
    check_engine,
    check_executor,
    check_warehouse,
    check_secrets,
    check_providers,
    check_github,
)


def run_checks(context: CliContext) -> Iterator[Diagnosis]:
    """Yield each check's results as soon as it is done."""
    reported: set[str] = set()
    for check in _CHECKS:
        try:
            yield from check(context)
        except SquireError as error:
            # Every check that reads wrong settings ends with the same error, which is shown once.
            if error.message not in reported:
                yield Diagnosis.of_error(check.__name__.removeprefix("check_"), error)
            reported.add(error.message)


def _open_secrets(context: CliContext) -> None:
    """Ask for the passphrase of the encrypted file where a person can be asked; the checks say what is wrong else."""
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - other checks need it not

    with suppress(ConfigError):
        unlock_store(context, context.settings.secret_sources)


@command("doctor", examples=("squire doctor", "squire doctor --json"))
@json_option
@with_context
def doctor(context: CliContext, *, as_json: bool) -> None:
    """Check what Squire needs: Python, git, settings, ledger, engine, image, warehouse, secrets, models, GitHub.

    Nothing is changed. The exit code is 1 when a check failed; a warning does not count.
    """
    _open_secrets(context)
    if show_all(run_checks(context), as_json=as_json):
        raise SystemExit(ExitCode.FAILED)
