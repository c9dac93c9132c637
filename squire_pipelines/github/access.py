"""Who Squire is to GitHub: a personal token, or a GitHub App whose short-lived tokens are scoped to what they are for.

Reading takes one token per installation that may only read; whatever writes takes one for the one repository. Tokens
live in memory alone. What they are used for is the client's.
"""

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import httpx

from squire_pipelines.errors import (
    ConfigError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
)
from squire_pipelines.github import permissions, protocol
from squire_pipelines.secrets import Secret, require_secret
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.trusted_certificates import tls_context

APP_KEY = "github-app-key"
RENEW_BEFORE = timedelta(minutes=5)
"""A token this near to its end is not given out: a fetch or a push may take that long."""

MAX_ASKED_AT_ONCE = 10
"""Owners whose tokens are asked for at the same time: one that GitHub is slow for delays no other."""

_REPOSITORY_PATH = re.compile(r"^/repos/([^/]+)/([^/]+)(?:/|$)")
_UNAUTHORIZED = 401
_TOKEN_REQUEST = "POST /app/installations/ID/access_tokens"  # noqa: S105 - the request, not a token


class Access(Protocol):
    """Gives out the token that a request bears."""

    @property
    def is_anonymous(self) -> bool:
        """Whether there is no token at all."""
        ...

    async def token(self, repository: str | None, *, write: bool) -> str | None:
        """Return the token for a request about `repository` (`owner/name`). Raises GitHubError, ConfigError."""
        ...

    async def credential(self, repository: str | None) -> str:
        """Return the name of what such a request counts for at GitHub, which is no secret. Raises as `token`."""
        ...

    def refused(self, token: str) -> bool:
        """Forget a token that GitHub did not accept (401); return whether another one can be had."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class TokenAccess:
    """One token for everything, or none."""

    secret: Secret | None

    @property
    def is_anonymous(self) -> bool:
        """See `Access`."""
        return self.secret is None

    async def token(self, repository: str | None, *, write: bool) -> str | None:  # noqa: ARG002 - see `Access`
        """See `Access`."""
        return self.secret.reveal() if self.secret else None

    async def credential(self, repository: str | None) -> str:  # noqa: ARG002 - see `Access`
        """See `Access`: a hash of the token, of which a part is enough to tell two apart."""
        if self.secret is None:
            return "anonymous"
        return f"token-{hashlib.sha256(self.secret.reveal().encode()).hexdigest()[:16]}"

    def refused(self, token: str) -> bool:  # noqa: ARG002 - see `Access`
        """See `Access`: there is no other."""
        return False


@dataclass(frozen=True, slots=True)
class Installation:
    """An App's installation at one owner, what it was granted there (`{"contents": "write", …}`), and its page."""

    id: int
    granted: Mapping[str, str]
    owner: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class AppAsRegistered:
    """What GitHub says of an App itself: what it asks its installations for, and which events it is sent."""

    id: int
    slug: str
    page: str
    owner: str
    is_organization: bool
    permissions: Mapping[str, str]
    events: tuple[str, ...]

    @property
    def organization(self) -> str | None:
        """Whose App it is, None when it is a person's."""
        return self.owner if self.is_organization else None


class AppAccess:
    """A GitHub App. Use it in one event loop.

    Args:
        app_id: The App's id, or its client id.
        key: Its private key, PEM.
        api_url: REST base, such as `https://api.github.com`.
        timeout_s: For one request.
        needs: Gives what is needed in a repository, of which its tokens get no more.
        transport: Carries the requests, for tests.
        now: The wall clock, by which tokens end.

    See https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app.
    """

    is_anonymous = False

    def __init__(
        self,
        app_id: str,
        key: Secret,
        *,
        api_url: str,
        needs: Callable[[str], permissions.PermissionNeeds],
        timeout_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._app_id = app_id
        self._key = key
        self._api_url = api_url.rstrip("/")
        self._needs = needs
        self._timeout_s = timeout_s
        self._transport = transport
        self._now = now
        self._installations: dict[str, Installation] = {}
        self._tokens: dict[tuple[str, bool], tuple[str, datetime]] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._turns = asyncio.Semaphore(MAX_ASKED_AT_ONCE)

    async def token(self, repository: str | None, *, write: bool) -> str:
        """See `Access`.

        Raises:
            ConfigError: The private key is none.
            GitHubAuthError: GitHub does not accept the App's key; or nothing says which repository this is about.
            GitHubNotFoundError: The App is not installed on the repository.
            GitHubPermissionError: It was not granted what it needs there.
        """
        if repository is None:
            raise GitHubAuthError("an App asks about one repository at a time, and this request names none")
        owner = _owner(repository)
        key = (repository.lower() if write else owner, write)
        async with self._asking[owner]:  # many requests at the start want the same token
            cached = self._tokens.get(key)
            if cached is None or cached[1] - RENEW_BEFORE <= self._now():
                cached = self._tokens[key] = await self._new_token(owner, repository, write=write)
            return cached[0]

    async def credential(self, repository: str | None) -> str:
        """See `Access`: each installation has limits of its own."""
        await self.token(repository, write=False)  # makes the installation known
        return f"installation-{self._installations[_owner(repository)].id}"

    def refused(self, token: str) -> bool:
        """See `Access`: a token that was revoked early is replaced."""
        keys = [key for key, (value, _) in self._tokens.items() if value == token]
        for key in keys:
            del self._tokens[key]
        return bool(keys)

    async def installation(self, repository: str) -> Installation:
        """Return the installation that covers `repository`. Raises GitHubError, ConfigError."""
        path = f"/repos/{repository}/installation"
        try:
            data = await self._ask("GET", path)
        except GitHubNotFoundError as error:
            raise GitHubNotFoundError(
                f"the GitHub App {self._app_id} is not installed on {repository}",
                hint="install it there, and let it see the repository: GitHub → the App's page → Install App",
                context=error.context,
            ) from error
        return _installation(data, path)

    async def installations(self) -> tuple[Installation, ...]:
        """Return where the App is installed, the first hundred. Raises GitHubError, ConfigError."""
        path = "/app/installations"
        data = await self._ask_any("GET", f"{path}?per_page=100")
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
            raise protocol.unreadable_answer(path)
        return tuple(_installation(one, path) for one in data)

    async def about(self) -> AppAsRegistered:
        """Return what GitHub says of the App. Raises GitHubError, ConfigError."""
        path = "/app"
        data = await self._ask("GET", path)
        owner = data.get("owner") or {}
        try:
            return AppAsRegistered(
                id=int(data["id"]),
                slug=str(data.get("slug") or data.get("name") or self._app_id),
                page=str(data.get("html_url") or ""),
                owner=str(owner.get("login") or owner.get("slug") or ""),
                is_organization=owner.get("type") == "Organization",
                permissions=dict(data.get("permissions") or {}),
                events=tuple(map(str, data.get("events") or ())),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise protocol.unreadable_answer(path) from error

    async def _new_token(self, owner: str, repository: str, *, write: bool) -> tuple[str, datetime]:
        if owner not in self._installations:
            self._installations[owner] = await self.installation(repository)
        installation, needs = self._installations[owner], self._needs(repository)
        if missing := permissions.missing(installation.granted, needs.required):
            raise GitHubPermissionError(
                f"the GitHub App {self._app_id} lacks permissions on {repository}: {permissions.in_words(missing)}",
                hint="grant them in the App's settings; the owner then has to accept the change; `squire doctor` has "
                "the addresses of the two pages",
            )
        requested = permissions.to_request(installation.granted, needs, write=write)
        content: dict[str, object] = {"permissions": requested}
        if write:
            content["repositories"] = [repository.partition("/")[2]]
        data = await self._ask("POST", f"/app/installations/{installation.id}/access_tokens", content)
        try:
            return str(data["token"]), datetime.fromisoformat(data["expires_at"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError) as error:
            raise protocol.unreadable_answer(_TOKEN_REQUEST) from error

    async def hook_deliveries(self, most: int = 10) -> Any:
        """Return what GitHub says of the last deliveries to the App's webhook. Raises GitHubError, ConfigError."""
        return await self._ask_any("GET", f"/app/hook/deliveries?per_page={most}")

    async def _ask(self, method: str, path: str, content: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = await self._ask_any(method, path, content)
        if not isinstance(data, dict):
            raise protocol.unreadable_answer(f"{method} {path}")
        return data

    async def _ask_any(self, method: str, path: str, content: Mapping[str, object] | None = None) -> Any:
        """Send one request as the App itself. Answers hold tokens: no error says what was in one."""
        request = f"{method} {path}"
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": protocol.API_VERSION,
            "Authorization": f"Bearer {self.own_token()}",
        }
        try:
            async with (
                self._turns,
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(verify=tls_context(), transport=self._transport, timeout=self._timeout_s) as http,
            ):
                response = await http.request(method, self._api_url + path, json=content, headers=headers)
        except (TimeoutError, httpx.RequestError) as error:
            raise GitHubUnavailableError(
                f"{request}: {self._api_url} cannot be reached: {type(error).__name__}",
                hint="check the network, and `github.api_url`",
            ) from error
        names = {name.lower(): value for name, value in response.headers.items()}
        try:
            return protocol.read_answer(response.status_code, names, response.content, request=request, now=self._now())
        except GitHubAuthError as error:
            raise GitHubAuthError(
                f"GitHub does not accept the key of the App {self._app_id}",
                hint=f"check github.app_id, the secret {APP_KEY}, and this machine's clock",
                context=error.context,
            ) from error

    @property
    def app_id(self) -> str:
        """The App's id, or its client id."""
        return self._app_id

    def own_token(self) -> str:
        """Return a token of some minutes that stands for the App itself. Raises ConfigError."""
        import jwt  # noqa: PLC0415 - it brings `cryptography` along, which only Apps need
        from gidgethub.apps import get_jwt  # noqa: PLC0415 - likewise

        try:
            return get_jwt(app_id=self._app_id, private_key=self._key.reveal())
        except (jwt.exceptions.PyJWTError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the secret {APP_KEY} is no private RSA key in PEM form",
                hint="generate a new one in the App's settings, and set the secret to the file's content",
            ) from error


@dataclass(frozen=True, slots=True, repr=False)
class AppItself:
    """An App that asks about itself, such as about its own webhook, and not as an installation of it."""

    app: AppAccess
    is_anonymous = False

    async def token(self, repository: str | None, *, write: bool) -> str:  # noqa: ARG002 - see `Access`
        """See `Access`. Raises ConfigError."""
        return self.app.own_token()

    async def credential(self, repository: str | None) -> str:  # noqa: ARG002 - see `Access`
        """See `Access`: what an App asks about itself counts for none of its installations."""
        return f"app-{self.app.app_id}"

    def refused(self, token: str) -> bool:  # noqa: ARG002 - see `Access`
        """See `Access`: the next one is signed with the same key."""
        return False


class AccessAuth(httpx.Auth):
    """Puts the token on one request at the last moment, so that no frame, repr or log on the way holds it."""

    def __init__(self, access: Access, repository: str | None, *, write: bool) -> None:
        self._access = access
        self._repository = repository
        self._write = write

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Replace a token that GitHub refuses, once: refused means that nothing was done."""
        token = await self._bear(request)
        response = yield request
        if token is not None and response.status_code == _UNAUTHORIZED and self._access.refused(token):
            await self._bear(request)
            yield request

    async def _bear(self, request: httpx.Request) -> str | None:
        token = await self._access.token(self._repository, write=self._write)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return token


def _installation(data: Mapping[str, Any], path: str) -> Installation:
    try:
        account = data.get("account") or {}
        owner, page = str(account.get("login") or account.get("slug") or ""), str(data.get("html_url") or "")
        return Installation(int(data["id"]), dict(data.get("permissions") or {}), owner, page)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise protocol.unreadable_answer(path) from error


def _owner(repository: str | None) -> str:
    return (repository or "").partition("/")[0].lower()


def repository_of(path: str) -> str | None:
    """Return the repository that a REST path is about, such as `/repos/OWNER/NAME/pulls`."""
    match = _REPOSITORY_PATH.match(path)
    return f"{match[1]}/{match[2]}" if match else None


def app_access(settings: Settings, key: Secret, *, app_id: str | None = None) -> AppAccess:
    """Return the access of the App that the settings name, or of the one with `app_id`, with its private key."""
    github = settings.github
    return AppAccess(
        app_id or github.app_id or "",
        key,
        api_url=github.api_url,
        needs=partial(permissions.needs_in, settings),
        timeout_s=github.timeout_s,
    )


def access_from(settings: Settings, *, required: bool = False) -> Access:
    """Return the access that the settings and secrets give: the App when one is named, else the token.

    Raises:
        SecretMissingError: The App's key is missing; or, when `required`, the token.
        ConfigError: As in `find_secret`.
    """
    if settings.github.app_id:
        return app_access(settings, require_secret(APP_KEY, settings.secret_sources))
    find = require_secret if required else find_secret
    return TokenAccess(find("github-token", settings.secret_sources))
