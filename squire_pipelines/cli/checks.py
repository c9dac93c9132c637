"""What Squire needs to work, one check each. A check asks and changes nothing, and each has a bound in time."""

import asyncio
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.text import one_line, size
from squire_pipelines.errors import ConfigError, NotFoundError, SquireError
from squire_pipelines.settings import Settings

if TYPE_CHECKING:
    from squire_pipelines.github.access import Access

Status = Literal["ok", "warn", "fail"]
MIN_GIT = (2, 39)  # Debian 12's, the oldest that the tests run on
MIN_FREE_BYTES = 2**30
_GIT_TIMEOUT_S = 10
_GITHUB_TIMEOUT_S = 10
_ASKED_REPOSITORIES = 20
_QUERY_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `next_step` says what to do unless all is well."""

    name: str
    status: Status
    message: str
    next_step: str = ""


def _failed(name: str, error: SquireError, status: Status = "fail") -> Check:
    return Check(name, status, error.message, error.hint)


def check_python(_context: CliContext) -> Iterator[Check]:
    """The interpreter."""
    isolated = sys.prefix != sys.base_prefix
    where = "in a virtual environment" if isolated else "without a virtual environment"
    yield Check(
        "python",
        "ok" if isolated else "warn",
        f"{platform.python_version()} {where}",
        "" if isolated else "install Squire into an environment of its own, for example with `make setup`",
    )


def check_git(_context: CliContext) -> Iterator[Check]:
    """The git command, and the part of it that the demo serves repositories with."""
    try:
        text = _git("--version")
        folder = Path(_git("--exec-path").strip())
    except (OSError, subprocess.SubprocessError) as error:
        yield Check("git", "fail", f"git does not run: {one_line(str(error))}", "install git")
        return
    found = re.search(r"(\d+)\.(\d+)", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < MIN_GIT:
        yield Check("git", "warn", one_line(text), f"install git {MIN_GIT[0]}.{MIN_GIT[1]} or newer")
    elif not (folder / "git-http-backend").exists():
        yield Check("git", "warn", f"{one_line(text)}, without http-backend", "the demo needs it: install git in full")
    else:
        yield Check("git", "ok", one_line(text))


def _git(argument: str) -> str:
    done = subprocess.run(["git", argument], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True)
    return done.stdout


def check_settings(context: CliContext) -> Iterator[Check]:
    """The settings and the repositories that they name."""
    settings = context.settings
    for repository in settings.repository:
        settings.agent_for(repository)
        settings.policy_for(repository)
    count = len(settings.repositories)
    if count:
        yield Check("settings", "ok", f"{count} repositor{'y' if count == 1 else 'ies'}")
    else:
        yield Check("settings", "warn", "no repository is named", "`squire init`, or `repositories` in config.toml")


def check_disk(context: CliContext) -> Iterator[Check]:
    """Room where the ledger and the attempts' folders lie."""
    folder = context.home.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free >= MIN_FREE_BYTES
    yield Check(
        "disk", "ok" if enough else "warn", f"{size(free)} free at {folder}", "" if enough else "free some space"
    )


def check_ledger(context: CliContext) -> Iterator[Check]:
    """The ledger."""
    from squire_pipelines.ledger.integrity import check_integrity  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    try:
        found = check_integrity(context.settings.resolved_ledger_url, quick=True)
    except NotFoundError as error:
        yield Check("ledger", "ok", error.message)  # the first run makes it
        return
    if found.problems:
        yield Check("ledger", "fail", found.problems[0], "`squire ledger check` shows all")
    else:
        yield Check("ledger", "ok", f"{found.place}, schema {found.revision}, {found.rows.get('tasks', 0)} tasks")


def check_engine(context: CliContext) -> Iterator[Check]:
    """The engine, the image, and the runner that follows."""
    from squire_pipelines.agents.runners import check_agent  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.agents import look  # noqa: PLC0415 - Docker's client, not needed if the settings fail

    place = look(context.settings.agent)
    try:
        for name in context.settings.repositories:
            check_agent(context.settings.agent_for(name))
    except ConfigError as error:
        yield _failed("agent", error)
    if place.engine:
        yield Check("engine", "ok", f"{place.engine} at {place.engine_host}")
        image: Status = "ok" if place.image_id else ("fail" if place.runner == "docker" else "warn")
        text = f"{place.image}{'' if place.image_id else ' is not on the engine'}"
        yield Check("image", image, text, "" if place.image_id else place.hint)
    else:
        yield Check("engine", "warn" if place.runner else "fail", place.problem, place.hint)
    if place.runner == "local":
        step = "agents run unconfined on this machine; start an engine for untrusted repositories"
        yield Check("runner", "warn", "local, which is no sandbox", step)
    elif place.runner and place.image_id:
        yield from _check_place(context, place.agent)


def _check_place(context: CliContext, agent: str) -> Iterator[Check]:
    """What the dispatch sensor asks of the engine before it starts anything."""
    from squire_pipelines.agents.preflight import check_place  # noqa: PLC0415 - Docker's client

    settings = context.settings
    wanted = [settings.agent, *(settings.agent_for(name) for name in settings.repositories)]
    problems: dict[str, SquireError] = {}
    for each in wanted:
        try:
            check_place(each)
        except SquireError as error:
            problems.setdefault(error.message, error)
    if not problems:
        yield Check("runner", "ok", f"{agent} in a container")
    for problem in problems.values():
        yield _failed("runner", problem)


def check_warehouse(context: CliContext) -> Iterator[Check]:
    """The file that people query."""
    path = context.home.warehouse
    if not path.exists():
        yield Check("warehouse", "ok", "not published yet; the first run publishes it")
        return
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, only when there is a file

    run_query(path, "select 1", limit=1, timeout_s=_QUERY_TIMEOUT_S)
    yield Check("warehouse", "ok", f"{path}, {size(path.stat().st_size)}")


def check_secrets(context: CliContext) -> Iterator[Check]:
    """Which secrets are there. What the settings have no use for is not missed."""
    from squire_pipelines.cli.secrets import lookup  # noqa: PLC0415 - the keyring, not needed if the settings fail

    planner = context.settings.planner
    needs_key = bool(context.settings.agent.model or planner.model) or planner.kind == "llm"
    for row in lookup(context):
        name = str(row["name"])
        if row["problem"]:
            yield Check(name, "fail", str(row["problem"]))
        elif row["found"]:
            yield Check(name, "ok", str(row["where"]))
        elif name == "model-key" and not needs_key:
            yield Check(name, "ok", "not set, and no model is")
        elif name == ("github-token" if context.settings.github.app_id else "github-app-key"):
            continue  # the other way to GitHub
        else:
            yield Check(name, "warn", "missing", f"`squire secrets set {name}`; {_NEEDED_FOR[name]}")


_NEEDED_FOR = {
    "github-token": "reading and pushing to GitHub needs it, the demo does not",
    "github-app-key": "the GitHub App that the settings name needs it",
    "webhook-secret": "without it no delivery is accepted, and Squire looks by schedule alone",
    "model-key": "the model that the settings name needs it",
}


def check_github(context: CliContext) -> Iterator[Check]:
    """Whether GitHub answers, and lets us do in each repository of the settings what Squire does there."""
    from squire_pipelines.github.access import access_from  # noqa: PLC0415 - httpx, only here

    access = access_from(context.settings)
    if not access.is_anonymous:
        yield from asyncio.run(_ask_github(context.settings, access))


async def _ask_github(settings: Settings, access: "Access") -> list[Check]:
    from squire_pipelines.cli.checks_github import check_permissions, check_reachable  # noqa: PLC0415 - likewise
    from squire_pipelines.github.client import GitHubClient  # noqa: PLC0415 - likewise

    async with GitHubClient(
        settings.github.api_url,
        settings.github.graphql_url,
        access,
        timeout_s=min(settings.github.timeout_s, _GITHUB_TIMEOUT_S),
        attempts=1,
    ) as client:
        try:
            found = [await check_reachable(client, access, settings.github.api_url)]
        except SquireError as error:
            return [_failed("github", error)]
        for repository in settings.repositories[:_ASKED_REPOSITORIES]:
            try:
                found.append(await check_permissions(client, access, repository))
            except SquireError as error:
                found.append(_failed(f"github {repository}", error))
    if (left := len(settings.repositories) - _ASKED_REPOSITORIES) > 0:
        found.append(Check("github", "ok", f"{left} more repositories were not asked about"))
    return found


_CHECKS: tuple[tuple[str, Callable[[CliContext], Iterator[Check]], bool], ...] = (
    ("python", check_python, False),
    ("git", check_git, False),
    ("settings", check_settings, False),
    ("disk", check_disk, False),
    ("ledger", check_ledger, True),
    ("engine", check_engine, True),
    ("warehouse", check_warehouse, False),
    ("secrets", check_secrets, True),
    ("github", check_github, True),
)


def run_checks(context: CliContext) -> Iterator[Check]:
    """All checks, each as soon as it is done; those that need the settings only where these hold."""
    settings_hold = True
    for name, check, needs_settings in _CHECKS:
        if needs_settings and not settings_hold:
            continue
        try:
            yield from check(context)
        except SquireError as error:
            yield _failed(name, error)
            settings_hold = settings_hold and not (name == "settings" and isinstance(error, ConfigError))
