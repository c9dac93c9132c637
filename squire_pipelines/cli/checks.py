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
from typing import Literal

from squire_pipelines.cli.context import App
from squire_pipelines.cli.text import one_line, size
from squire_pipelines.errors import ConfigError, GitHubError, NotFoundError, SquireError
from squire_pipelines.settings import Settings

Status = Literal["ok", "warn", "fail"]
MIN_GIT = (2, 39)  # Debian 12's, the oldest that the tests run on
MIN_FREE_BYTES = 2**30
_GIT_TIMEOUT_S = 10
_GITHUB_TIMEOUT_S = 10
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


def check_python(_app: App) -> Iterator[Check]:
    """The interpreter."""
    isolated = sys.prefix != sys.base_prefix
    where = "in a virtual environment" if isolated else "without a virtual environment"
    yield Check(
        "python",
        "ok" if isolated else "warn",
        f"{platform.python_version()} {where}",
        "" if isolated else "install Squire into an environment of its own, for example with `make setup`",
    )


def check_git(_app: App) -> Iterator[Check]:
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


def check_settings(app: App) -> Iterator[Check]:
    """The settings and the repositories that they name."""
    settings = app.settings
    for repository in settings.repository:
        settings.agent_for(repository)
        settings.policy_for(repository)
    count = len(settings.repositories)
    if count:
        yield Check("settings", "ok", f"{count} repositor{'y' if count == 1 else 'ies'}")
    else:
        yield Check("settings", "warn", "no repository is named", "`squire init`, or `repositories` in config.toml")


def check_disk(app: App) -> Iterator[Check]:
    """Room where the ledger and the attempts' folders lie."""
    folder = app.home.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    enough = free >= MIN_FREE_BYTES
    yield Check(
        "disk", "ok" if enough else "warn", f"{size(free)} free at {folder}", "" if enough else "free some space"
    )


def check_ledger(app: App) -> Iterator[Check]:
    """The ledger."""
    from squire_pipelines.cli.ledger import examine  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    try:
        found = examine(app.settings.resolved_ledger_url)
    except NotFoundError as error:
        yield Check("ledger", "ok", error.message)  # the first run makes it
        return
    if found.problems:
        yield Check("ledger", "fail", found.problems[0], "`squire ledger check` shows all")
    else:
        yield Check("ledger", "ok", f"{found.place}, schema {found.revision}, {found.rows.get('tasks', 0)} tasks")


def check_engine(app: App) -> Iterator[Check]:
    """The engine, the image, and the runner that follows."""
    from squire_pipelines.agents.runners import check_agent  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.agents import look  # noqa: PLC0415 - Docker's client, not needed if the settings fail

    place = look(app.settings.agent)
    try:
        for name in app.settings.repositories:
            check_agent(app.settings.agent_for(name))
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
        yield Check("runner", "ok", f"{place.agent} in a container")


def check_warehouse(app: App) -> Iterator[Check]:
    """The file that people query."""
    path = app.home.warehouse
    if not path.exists():
        yield Check("warehouse", "ok", "not published yet; the first run publishes it")
        return
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, only when there is a file

    run_query(path, "select 1", limit=1, timeout_s=_QUERY_TIMEOUT_S)
    yield Check("warehouse", "ok", f"{path}, {size(path.stat().st_size)}")


def check_secrets(app: App) -> Iterator[Check]:
    """Which secrets are there. What the settings have no use for is not missed."""
    from squire_pipelines.cli.secrets import lookup  # noqa: PLC0415 - the keyring, not needed if the settings fail

    planner = app.settings.planner
    needs_key = bool(app.settings.agent.model or planner.model) or planner.kind == "llm"
    for row in lookup(app):
        name = str(row["name"])
        if row["problem"]:
            yield Check(name, "fail", str(row["problem"]))
        elif row["found"]:
            yield Check(name, "ok", str(row["where"]))
        elif name == "model-key" and not needs_key:
            yield Check(name, "ok", "not set, and no model is")
        else:
            yield Check(name, "warn", "missing", f"`squire secrets set {name}`; {_NEEDED_FOR[name]}")


_NEEDED_FOR = {
    "github-token": "reading and pushing to GitHub needs it, the demo does not",
    "webhook-secret": "without it no delivery is accepted, and Squire looks by schedule alone",
    "model-key": "the model that the settings name needs it",
}


def check_github(app: App) -> Iterator[Check]:
    """Whether GitHub answers, when there is a token to ask with. The question costs no rate limit."""
    from squire_pipelines.secrets.lookup import find_secret  # noqa: PLC0415 - likewise

    token = find_secret("github-token", app.home)
    if token is None:
        return
    yield asyncio.run(_ask_github(app.settings, token.reveal()))


async def _ask_github(settings: Settings, token: str) -> Check:
    from squire_pipelines.github.client import GitHubClient  # noqa: PLC0415 - httpx, only with a token

    try:
        async with GitHubClient(
            settings.github.api_url,
            settings.github.graphql_url,
            token,
            timeout_s=min(settings.github.timeout_s, _GITHUB_TIMEOUT_S),
            attempts=1,
        ) as client:
            # https://docs.github.com/en/rest/rate-limit: does not count against the limit, any token may ask.
            answer = await client.get("/rate_limit")
    except GitHubError as error:
        return _failed("github", error)
    core = (answer.get("resources") or {}).get("core") or {} if isinstance(answer, dict) else {}
    left = f", {core['remaining']} of {core['limit']} requests left" if {"remaining", "limit"} <= core.keys() else ""
    return Check("github", "ok", f"{settings.github.api_url} answers{left}")


_CHECKS: tuple[tuple[str, Callable[[App], Iterator[Check]], bool], ...] = (
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


def run_checks(app: App) -> Iterator[Check]:
    """All checks, each as soon as it is done; those that need the settings only where these hold."""
    settings_hold = True
    for name, check, needs_settings in _CHECKS:
        if needs_settings and not settings_hold:
            continue
        try:
            yield from check(app)
        except SquireError as error:
            yield _failed(name, error)
            settings_hold = settings_hold and not (name == "settings" and isinstance(error, ConfigError))
