"""A GitHub App against the forge: real JWTs, real HTTP, real git with the short-lived tokens."""

import asyncio
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository
from squire_pipelines.domain.signals import CollectionStatus
from squire_pipelines.errors import GitHubAuthError, GitHubPermissionError
from squire_pipelines.github.access import AppAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.pulls import add_labels
from squire_pipelines.home import Home
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import any_repository

APP = "4711"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def access(forge: ForgeProcess, key: rsa.RSAPrivateKey) -> AppAccess:
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forge.register_app(APP, public.decode())
    return AppAccess(APP, Secret(_pem(key)), api_url=forge.api_url, needs=any_repository)


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.slow
def test_an_app_collects_with_a_token_that_may_only_read(
    forge: ForgeProcess, access: AppAccess, samples: tuple[SampleRepository, ...]
) -> None:
    async def within() -> None:
        async with GitHubClient(GitHubSettings(api_url=forge.api_url, min_write_interval_s=0), access) as client:
            readings = await collect_repository(client, samples[0].full_name)
            assert [reading.error for reading in readings if reading.status is not CollectionStatus.FRESH] == []

    asyncio.run(within())


def test_a_token_for_one_repository_opens_no_other(
    forge: ForgeProcess, access: AppAccess, samples: tuple[SampleRepository, ...], tmp_path: Path
) -> None:
    installed, other = samples[0].full_name, samples[1].full_name
    token = asyncio.run(access.token(installed, write=True))
    home = Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path)

    async def label(repository: str) -> None:
        async with GitHubClient(GitHubSettings(api_url=forge.api_url, min_write_interval_s=0), token) as client:
            await add_labels(client, repository, 1, ("squire",))

    with pytest.raises(GitHubPermissionError):
        asyncio.run(label(other))
    mirror = fetch_mirror(home, installed, forge.git_url(installed), Secret(token))
    assert mirror.path.is_dir()
    asked = {
        name: httpx.get(
            f"{forge.git_url(name)}/info/refs?service=git-receive-pack",
            auth=("x-access-token", token),
            trust_env=False,
            timeout=20,
        ).status_code
        for name in (installed, other)
    }
    assert asked == {installed: 200, other: 401}


@pytest.mark.slow
def test_a_key_of_somebody_else_is_refused(forge: ForgeProcess, access: AppAccess) -> None:
    del access
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = AppAccess(APP, Secret(_pem(stranger)), api_url=forge.api_url, needs=any_repository)
    with pytest.raises(GitHubAuthError, match="does not accept the key"):
        asyncio.run(forged.about())
