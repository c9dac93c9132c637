"""A client over a played GitHub; retries without waiting."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import API_URL


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
    def make(transport: httpx.AsyncBaseTransport, **options: Any) -> GitHubClient:
        token = options.pop("token", "ghp_" + "x" * 36)
        limits = {name: options.pop(name) for name in set(options) & set(GitHubSettings.model_fields)}
        settings = GitHubSettings(**{"api_url": API_URL, "min_write_interval_s": 0, **limits})
        return GitHubClient(settings, token, http=httpx.AsyncClient(transport=transport), **options)

    return make
