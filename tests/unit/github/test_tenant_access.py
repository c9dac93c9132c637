"""Each request bears the token of the tenant whose repository it is about, and answers are kept by that token."""

from pathlib import Path

import httpx
import pytest

from squire_pipelines.errors import GitHubAuthError, GitHubPermissionError, SecretMissingError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.kept_answers import KeptAnswers
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.github_json import API_URL

pytestmark = pytest.mark.anyio
SETTINGS = Settings(
    repositories=("acme/api", "beta/x", "gamma/y", "house/z"),
    tenants={
        "alpha": {"repositories": ["acme/*"]},
        "beta": {"repositories": ["beta/*"]},
        "gamma": {"repositories": ["gamma/*"]},
    },
)
PATHS = {"acme/api": "of-alpha", "beta/x": "of-beta", "house/z": "of-the-house"}


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for variable in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "of-the-house")
    monkeypatch.setenv("SQUIRE_TENANT_ALPHA_GITHUB_TOKEN", "of-alpha")
    monkeypatch.setenv("SQUIRE_TENANT_BETA_GITHUB_TOKEN", "of-beta")


async def test_every_repository_is_asked_about_with_its_own_tenants_token_and_no_answer_is_shared(
    tmp_path: Path,
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        seen.append((request.url.path, bearer, request.headers.get("if-none-match")))
        return httpx.Response(200, json={"for": bearer}, headers={"etag": 'W/"1"'})

    answers = KeptAnswers(tmp_path / "answers", max_answers=100)
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    access = access_to_all(SETTINGS)
    async with GitHubClient(GitHubSettings(api_url=API_URL), access, attempts=1, answers=answers, http=http) as client:
        for repository, token in PATHS.items():
            assert await client.get(f"/repos/{repository}/pulls") == {"for": token}
        # The very same address, asked by whoever it belongs to after a move.
        moved = access_to_all(Settings(repositories=("acme/api",), tenants={"beta": {"repositories": ["acme/*"]}}))
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        github = GitHubSettings(api_url=API_URL)
        async with GitHubClient(github, moved, attempts=1, answers=answers, http=http) as other:
            assert await other.get("/repos/acme/api/pulls") == {"for": "of-beta"}
    assert [bearer for _, bearer, _ in seen] == ["of-alpha", "of-beta", "of-the-house", "of-beta"]
    assert {tag for _, _, tag in seen} == {None}


async def test_a_tenant_without_a_token_is_refused_alone_and_gets_nobody_elses() -> None:
    access = access_to_all(SETTINGS, required=True)
    with pytest.raises(GitHubPermissionError, match=r"gamma has no access to gamma/y: the secret gamma\.github-token"):
        await access.token("gamma/y", write=True)
    assert await access.token("acme/api", write=True) == "of-alpha"
    assert len({await access.credential(name) for name in PATHS}) == 3
    assert not access.is_anonymous
    assert not access.refused("of-alpha")


async def test_a_request_that_names_no_repository_is_nobodys() -> None:
    with pytest.raises(GitHubAuthError, match="names none"):
        await access_to_all(SETTINGS).token(None, write=False)


def test_that_nobody_has_a_token_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SQUIRE_GITHUB_TOKEN", "SQUIRE_TENANT_ALPHA_GITHUB_TOKEN", "SQUIRE_TENANT_BETA_GITHUB_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(SecretMissingError, match=r"alpha\.github-token"):
        access_to_all(SETTINGS, required=True)
