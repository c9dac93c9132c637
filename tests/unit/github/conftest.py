"""A client over a played GitHub; retries without waiting."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import stamina

from squire_pipelines.github.client import GitHubClient
from tests.support.github_json import API_URL, GRAPHQL_URL


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


ClientOf = Callable[..., GitHubClient]


@pytest.fixture
def client_of() -> ClientOf:
    def make(transport: httpx.AsyncBaseTransport, **options: object) -> GitHubClient:
        given = {"token": "ghp_" + "x" * 36, "min_write_interval_s": 0.0, **options}
        token = given.pop("token")
        http = httpx.AsyncClient(transport=transport)
        return GitHubClient(API_URL, GRAPHQL_URL, token, http=http, **given)  # type: ignore[arg-type]

    return make
