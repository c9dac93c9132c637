"""How a new GitHub App becomes Squire's: its code exchanged, its secrets kept, the settings changed, its installation.

The order survives a kill: what GitHub made is written down before its secrets are kept, without them, and forgotten
once the settings name the App. Questions to people are `cli.init_app`'s.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import (
    ConfigError,
    GitHubError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    NotReachableError,
    RefusedError,
)
from squire_pipelines.files import write_atomically
from squire_pipelines.github import app_manifest, protocol
from squire_pipelines.github.access import APP_KEY, AppAccess
from squire_pipelines.github.app_manifest import NewApp
from squire_pipelines.github.app_page import AppPage, BrowserAnswer
from squire_pipelines.home import Home, make_folder
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import store_secret
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.edits import read_if_there, replace_settings, settings_locked, with_value
from squire_pipelines.settings.file import parse_settings, read_settings_file
from squire_pipelines.settings.model import settings_of
from squire_pipelines.trusted_certificates import tls_context

MAX_PASTED = 10
CONNECT_ATTEMPTS = 3
_PAUSE_S = 2.0
_POLL_S = 3.0
_TURN_S = 0.2
_PROGRESS_S = 30.0
_ASKED_REPOSITORIES = 20
_MAX_ANSWER_BYTES = 2**20


@dataclass(slots=True)
class _AnswerRead:
    status: int
    headers: Mapping[str, str]
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class AppRecord:
    """An App that GitHub has made and the settings do not name yet. It holds no secret."""

    id: int
    slug: str
    page: str
    organization: str | None

    @classmethod
    def of(cls, app: NewApp, organization: str | None) -> Self:
        """Return what is to be known of an App after a kill."""
        return cls(app.id, app.slug, app.page, organization)

    @classmethod
    def read(cls, home: Home) -> Self | None:
        """Return the record of a registration that was not finished, None without one. Raises ConfigError."""
        path = _record_path(home)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            organization = values["organization"]
            return cls(int(values["id"]), str(values["slug"]), str(values["page"]), organization and str(organization))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, the note of an App that was made, cannot be read: {type(error).__name__}",
                hint="look at GitHub for an App that nothing uses, delete it there, and remove the file",
            ) from error

    def write(self, home: Home) -> None:
        """Write it down before the secrets are kept. Raises OSError."""
        path = _record_path(home)
        make_folder(path.parent)
        write_atomically(path, json.dumps(asdict(self)).encode())

    @staticmethod
    def forget(home: Home) -> None:
        """Remove it: the settings name the App, or a new one takes its place."""
        _record_path(home).unlink(missing_ok=True)


def _record_path(home: Home) -> Path:
    return home.state / "github-app.json"


def wait_for_code(
    page: AppPage, deadline: Deadline, *, read_line: Callable[[], str | None], tell: Callable[[str], None]
) -> BrowserAnswer:
    """Wait for a browser with a code, or for a person who pastes one.

    Args:
        page: Where the browser comes.
        deadline: Until when.
        read_line: Returns a line of the person's, None while there is none.
        tell: Shows the person a line.

    Raises:
        NotReachableError: Neither came in time.
        RefusedError: Too many answers were not ours.
        ConfigError: Too many pasted lines had no code.
    """
    next_line, pasted = Deadline.after(_PROGRESS_S), 0
    while not deadline.is_past:
        if (answer := page.take_answer(min(_TURN_S, deadline.remaining_s))) is not None:
            return answer
        if (line := read_line()) is not None and line.strip():
            try:
                return BrowserAnswer(app_manifest.code_in(line, page.state), is_pasted=True)
            except (ConfigError, RefusedError) as error:
                pasted += 1
                if pasted >= MAX_PASTED:
                    raise
                tell(f"{error.message}: {error.hint}")
        if next_line.is_past:
            tell(f"waiting for GitHub; {deadline.remaining_s:.0f} s are left")
            next_line = Deadline.after(_PROGRESS_S)
    raise NotReachableError(
        "nobody came back from GitHub in time",
        hint="run the command again, with a longer --wait if need be; delete the App first, should it have been made",
    )


def check_reachable(github: GitHubSettings) -> None:
    """Check that GitHub's API can be reached before an App is made, whose key it gives once. Raises GitHubError."""
    _request(github, "GET", "")


def exchange_code(
    github: GitHubSettings, code: Secret, *, organization: str | None, pause: Callable[[float], None] = time.sleep
) -> NewApp:
    """Exchange the code for the App, once: GitHub gives its key to nobody else and never again.

    Only a connection that does not come about is tried again, for then the code was not sent.

    Raises:
        GitHubNotFoundError: The code is too old, or was used.
        GitHubError: GitHub was not reached or refuses, or the answer was lost. The hint says how to go on.
    """
    web = github.web_url
    request = "POST /app-manifests/CODE/conversions"
    try:
        answer = _send_code(github, code, pause)
        data = protocol.read_answer(
            answer.status, answer.headers, bytes(answer.content), request=request, now=datetime.now(UTC)
        )
        return app_manifest.parse_new_app(data, request, web)
    except GitHubError as error:
        raise app_manifest.without_a_key(error, app_manifest.apps_url(web, organization)) from error


def _send_code(github: GitHubSettings, code: Secret, pause: Callable[[float], None]) -> _AnswerRead:
    for attempt in range(1, CONNECT_ATTEMPTS + 1):
        try:
            return _request(github, "POST", f"/app-manifests/{code.reveal()}/conversions")
        except GitHubUnavailableError as error:
            was_sent = not isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
            if was_sent or attempt == CONNECT_ATTEMPTS:
                raise
            pause(_PAUSE_S)
    raise AssertionError  # the last attempt returns or raises


def _request(github: GitHubSettings, method: str, path: str) -> _AnswerRead:
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": protocol.API_VERSION}
    try:
        with (
            httpx.Client(verify=tls_context(), timeout=github.timeout_s) as http,
            http.stream(method, github.api_url.rstrip("/") + path, headers=headers) as response,
        ):
            answer = _AnswerRead(
                response.status_code, {name.lower(): value for name, value in response.headers.items()}
            )
            for chunk in response.iter_bytes():
                answer.content += chunk
                if len(answer.content) > _MAX_ANSWER_BYTES:
                    raise protocol.unreadable_answer(f"{method} of an App", f"more than {_MAX_ANSWER_BYTES} bytes")
            return answer
    except httpx.RequestError as error:
        raise GitHubUnavailableError(
            f"{github.api_url} cannot be reached: {type(error).__name__}",
            hint="check the network, and `github.api_url`",
        ) from error


def secret_names(*, has_webhook: bool) -> tuple[str, ...]:
    """Return the names of the secrets that an App brings."""
    return (APP_KEY, SecretName.WEBHOOK_SECRET.value) if has_webhook else (APP_KEY,)


def keep_secrets(app: NewApp, sources: SecretSources, *, has_webhook: bool) -> dict[str, str]:
    """Keep the App's key and the secret of its webhook; return where, by the secret's name. Raises ConfigError."""
    values = {APP_KEY: app.key, SecretName.WEBHOOK_SECRET.value: app.webhook_secret}
    names = secret_names(has_webhook=has_webhook)
    return {name: store_secret(name, value.reveal(), sources) for name in names if (value := values[name])}


def text_with_app(path: Path, app_id: str, slug: str) -> tuple[bytes | None, str]:
    """Return what the settings' file holds, and its text with the App's id and name, checked. Raises ConfigError."""
    file = read_settings_file(path)
    before, text = file.text.encode() if file.exists else None, file.text
    for key, value in (("app_id", app_id), ("app_slug", slug)):
        text = with_value(parse_settings(path, text), ("github", key), value)
    settings_of(parse_settings(path, text))
    return before, text


def name_app(path: Path, home: Home, app_id: str, slug: str) -> None:
    """Write the App's id and name into the settings' file, whose comments stay. Raises ConfigError."""
    with settings_locked(path, home):
        replace_settings(path, *text_with_app(path, app_id, slug))


def check_settings_writable(path: Path) -> None:
    """Check that the App could be named in the settings' file. Raises ConfigError."""
    text_with_app(path, "1", "a")
    target = Path(os.path.realpath(path))
    if not os.access(target.parent, os.W_OK) or read_if_there(target) is None:
        raise ConfigError(f"{path} cannot be changed", hint="make its folder writable, and run the command again")


@dataclass(frozen=True, slots=True)
class InstallationState:
    """Where an App is installed: on which of the repositories, and on which not; `problem` is why nothing is known."""

    is_installed: bool
    covered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether the App is installed on all repositories of the settings, or anywhere when they name none."""
        return self.is_installed and not self.missing


async def installation_state(access: AppAccess, repositories: Sequence[str]) -> InstallationState:
    """Return on which of the first repositories an App is installed. Raises GitHubError, ConfigError."""
    if not await access.installations():
        return InstallationState(is_installed=False, missing=tuple(repositories))
    installed: Mapping[bool, list[str]] = {True: [], False: []}
    for repository in repositories[:_ASKED_REPOSITORIES]:
        try:
            await access.installation(repository)
        except GitHubNotFoundError:
            installed[False].append(repository)
        else:
            installed[True].append(repository)
    return InstallationState(is_installed=True, covered=tuple(installed[True]), missing=tuple(installed[False]))


def wait_for_installation(
    access: AppAccess,
    repositories: Sequence[str],
    deadline: Deadline,
    *,
    tell: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> InstallationState:
    """Wait until an App is installed on all repositories, and return what is known in the end.

    A GitHub that does not answer meanwhile, or does not know a new App's key yet, is asked again. Raises ConfigError.
    """
    next_line = Deadline.after(_PROGRESS_S)
    while True:
        try:
            state = asyncio.run(installation_state(access, repositories))
        except GitHubError as error:
            state = InstallationState(is_installed=False, missing=tuple(repositories), problem=error.message)
        if state.is_complete or deadline.is_past:
            return state
        if next_line.is_past:
            tell(f"waiting for the installation; {deadline.remaining_s:.0f} s are left")
            next_line = Deadline.after(_PROGRESS_S)
        pause(min(_POLL_S, deadline.remaining_s))


def as_json(record: AppRecord, state: InstallationState, places: Mapping[str, str]) -> dict[str, Any]:
    """Return what became of a registration, for programs."""
    return {
        "app_id": str(record.id),
        "slug": record.slug,
        "page": record.page,
        "install_url": app_manifest.install_url(record.page),
        "secrets": dict(places),
        "installed": state.is_complete,
        "repositories": list(state.covered),
        "missing": list(state.missing),
    }
