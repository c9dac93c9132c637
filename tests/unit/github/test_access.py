import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from squire_pipelines.errors import (
    ConfigError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    SecretMissingError,
)
from squire_pipelines.github import permissions
from squire_pipelines.github.access import AppAccess, TokenAccess, access_from, repository_of
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import load_settings
from tests.support.github_json import API_URL, any_repository
from tests.support.github_schemas import schema_file

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
GRANTED = {**permissions.REQUIRED, "actions": "read"}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()


class PlayedApp(httpx.AsyncBaseTransport):
    """Plays GitHub to an App: one installation per owner, a new token per request, and what it has seen."""

    def __init__(self, granted: Mapping[str, str] = GRANTED) -> None:
        self.granted = dict(granted)
        self.asked: list[tuple[str, str, Any]] = []
        self.issuers: list[str] = []
        self.made: list[str] = []
        self.status = 200
        self.body: dict[str, object] | None = None
        self.token: dict[str, object] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v3")
        content = await request.aread()
        self.asked.append((request.method, path, json.loads(content) if content else None))
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        self.issuers.append(
            jwt.decode(bearer, KEY.public_key(), algorithms=["RS256"], options={"verify_iat": False})["iss"]
        )
        if self.status != 200 or self.body is not None:
            return httpx.Response(self.status, json=self.body or {"message": "no"})
        if path == "/app":
            return httpx.Response(200, json={"id": 7, "slug": "squire-bot"})
        if path.endswith("/installation"):
            return httpx.Response(200, json={"id": 42, "permissions": self.granted})
        if self.token is not None:
            return httpx.Response(201, json=self.token)
        self.made.append(f"ghs_{len(self.made)}_" + "x" * 30)
        ends = (START + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return httpx.Response(201, json={"token": self.made[-1], "expires_at": ends})

    def tokens_asked(self) -> list[Any]:
        return [content for method, _, content in self.asked if method == "POST"]


def app(played: PlayedApp, *, now: Callable[[], datetime] = lambda: START, key: str = PEM) -> AppAccess:
    return AppAccess("7", Secret(key), api_url=API_URL, needs=any_repository, transport=played, now=now)


async def test_a_token_for_writing_is_scoped_to_the_one_repository_and_to_what_is_needed() -> None:
    played = PlayedApp({**GRANTED, "administration": "write"})
    assert await app(played).token("acme/shop", write=True) == played.made[0]
    assert played.tokens_asked() == [
        {"repositories": ["shop"], "permissions": {**permissions.REQUIRED, "actions": "read"}}
    ]
    assert set(played.issuers) == {"7"}


async def test_a_token_for_reading_may_only_read() -> None:
    played = PlayedApp()
    await app(played).token("acme/shop", write=False)
    assert set(played.tokens_asked()[0]["permissions"].values()) == {"read"}


async def test_the_readers_of_one_owner_share_a_token_and_writers_of_two_repositories_do_not() -> None:
    played = PlayedApp()
    access = app(played)
    read = await asyncio.gather(*(access.token(f"acme/r{n}", write=False) for n in range(5)))
    write = [await access.token(f"acme/r{n}", write=True) for n in range(2)]
    assert len(set(read)) == 1
    assert len({*read, *write}) == 3
    assert len([path for _, path, _ in played.asked if path.endswith("/installation")]) == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    played, moment = PlayedApp(), [START]
    access = app(played, now=lambda: moment[0])
    first = await access.token("acme/shop", write=True)
    moment[0] = START + timedelta(minutes=54)
    assert await access.token("acme/shop", write=True) == first
    moment[0] = START + timedelta(minutes=56)
    assert await access.token("acme/shop", write=True) != first


async def test_an_app_without_a_permission_says_which_before_it_asks_for_a_token() -> None:
    played = PlayedApp({**GRANTED, "pull_requests": "read", "checks": "none"})
    with pytest.raises(GitHubPermissionError, match="lacks permissions on acme/shop: pull_requests: write, checks"):
        await app(played).token("acme/shop", write=False)
    assert played.made == []


async def test_an_app_that_is_not_installed_says_so() -> None:
    played = PlayedApp()
    played.status = 404
    with pytest.raises(GitHubNotFoundError, match="not installed on acme/shop"):
        await app(played).token("acme/shop", write=True)


async def test_a_key_that_github_does_not_know_is_named() -> None:
    played = PlayedApp()
    played.status = 401
    with pytest.raises(GitHubAuthError, match="does not accept the key of the App 7"):
        await app(played).about()


async def test_a_key_that_is_none_is_refused_without_query_runner() -> None:
    played = PlayedApp()
    with pytest.raises(ConfigError, match="no private RSA key"):
        await app(played, key="not a key").token("acme/shop", write=True)
    assert played.asked == []


@pytest.mark.parametrize("body", [{"unexpected": 1}, {"id": "x"}, {"id": 1, "permissions": [1]}])
async def test_an_unreadable_installation_is_no_traceback(body: dict[str, object]) -> None:
    played = PlayedApp()
    played.body = body
    with pytest.raises(GitHubUnavailableError, match="not what GitHub's API sends"):
        await app(played).installation("acme/shop")


async def test_an_unreadable_token_is_not_repeated_in_the_error() -> None:
    played = PlayedApp()
    access = app(played)
    played.token = {"token": "ghs_" + "q" * 30, "expires_at": "soon"}
    with pytest.raises(GitHubUnavailableError) as caught:
        await access.token("acme/shop", write=True)
    assert "ghs_" not in f"{caught.value}{caught.value.context}"


async def test_an_app_that_cannot_reach_github_says_so() -> None:
    class Deaf(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

    access = AppAccess("7", Secret(PEM), api_url=API_URL, needs=any_repository, transport=Deaf())
    with pytest.raises(GitHubUnavailableError, match="cannot be reached"):
        await access.about()


async def test_a_request_that_names_no_repository_gets_no_token() -> None:
    with pytest.raises(GitHubAuthError, match="names none"):
        await app(PlayedApp()).token(None, write=False)


async def test_the_client_reads_and_writes_with_the_tokens_of_the_app() -> None:
    played = PlayedApp()
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.headers["authorization"].removeprefix("Bearer ")))
        if request.url.path.endswith("graphql"):
            return httpx.Response(200, json={"data": {"repository": {}}})
        return httpx.Response(200, json={})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = GitHubClient(GitHubSettings(api_url=API_URL, min_write_interval_s=0), app(played), http=http)
    await client.get("/repos/acme/shop/pulls")
    await client.graphql("repository", {"owner": "acme", "name": "shop"})
    await client.post("/repos/acme/shop/pulls", {})
    assert [token for _, token in seen] == [played.made[0], played.made[0], played.made[1]]
    assert played.tokens_asked()[1]["repositories"] == ["shop"]


async def test_a_revoked_token_is_replaced_once() -> None:
    played = PlayedApp()
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"].removeprefix("Bearer "))
        return httpx.Response(401, json={"message": "Bad credentials"})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = GitHubClient(GitHubSettings(api_url=API_URL), app(played), http=http)
    with pytest.raises(GitHubAuthError):
        await client.get("/repos/acme/shop/pulls")
    assert seen == played.made
    assert len(seen) == 2


async def test_a_personal_token_that_is_refused_is_not_tried_again() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(401, json={"message": "Bad credentials"})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = GitHubClient(GitHubSettings(api_url=API_URL), TokenAccess(Secret("ghp_" + "x" * 36)), http=http)
    with pytest.raises(GitHubAuthError):
        await client.get("/user")
    assert len(seen) == 1


async def test_what_an_app_asks_is_valid_in_githubs_openapi() -> None:
    played = PlayedApp()
    access = app(played)
    await access.token("acme/shop", write=True)
    await access.token("acme/shop", write=False)
    await access.about()
    document: dict[str, Any] = json.loads(schema_file("openapi/generated/api.github.com.json").read_bytes())
    templates = {
        "/repos/acme/shop/installation": "/repos/{owner}/{repo}/installation",
        "/app/installations/42/access_tokens": "/app/installations/{installation_id}/access_tokens",
        "/app": "/app",
    }
    for method, path, content in played.asked:
        operation = document["paths"][templates[path]][method.lower()]
        if content is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            permitted = schema["properties"]["permissions"]
            known = document["components"]["schemas"][permitted["$ref"].rpartition("/")[2]]["properties"]
            assert set(content["permissions"]) <= set(known)
            for name, level in content["permissions"].items():
                assert level in known[name]["enum"]
            jsonschema.validate(content.get("repositories", []), schema["properties"]["repositories"])
    assert {path for _, path, _ in played.asked} == set(templates)


@pytest.mark.parametrize(
    ("path", "repository"),
    [
        ("/repos/acme/shop", "acme/shop"),
        ("/repos/acme/shop/pulls/1", "acme/shop"),
        ("/rate_limit", None),
        ("/repos/acme", None),
        ("/app/repos/acme/shop", None),
    ],
)
def test_a_path_says_which_repository_it_is_about(path: str, repository: str | None) -> None:
    assert repository_of(path) == repository


def test_the_settings_choose_between_app_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access_from(load_settings()).is_anonymous
    with pytest.raises(SecretMissingError, match="github-token"):
        access_from(load_settings(), required=True)
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "x" * 36)
    assert not access_from(load_settings(), required=True).is_anonymous
    monkeypatch.setenv("SQUIRE_GITHUB__APP_ID", "7")
    with pytest.raises(SecretMissingError, match="github-app-key"):
        access_from(load_settings())
    monkeypatch.setenv("SQUIRE_GITHUB_APP_KEY", PEM)
    assert isinstance(access_from(load_settings()), AppAccess)


def test_neither_access_shows_its_secret() -> None:
    token = "ghp_" + "x" * 36
    assert token not in repr(TokenAccess(Secret(token)))
    assert "PRIVATE" not in repr(app(PlayedApp()))
