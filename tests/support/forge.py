"""The forge as pytest fixtures: a real process, real git, state of its own in each test's folder.

An area takes them into its conftest.py by import, with `__all__` naming them:
`from tests.support.forge import forge, forge_home, hosted_home, samples`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_forge.hosting import HostRequest, host
from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository, build_samples
from squire_forge.world import ForgeConfig, World
from tests.support.forked import ForkedForge


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleRepository, ...]:
    """Return the sample repositories; the forge copies them, so that tests may share them."""
    return build_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def hosted_home(samples: tuple[SampleRepository, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a forge that hosts the samples, to be copied and never used itself."""
    home = tmp_path_factory.mktemp("hosted")
    world = World(ForgeConfig(home=home, web_url="http://127.0.0.1", token="t", webhook_secret="s"))
    for sample in samples:
        host(world, HostRequest.model_validate(sample.hosting()))
    world.database.close()
    return home


@pytest.fixture
def forge_home(tmp_path: Path) -> Path:
    """Return the folder of this test's forge; another forge on it shows what a restart keeps."""
    return tmp_path / "forge"


@pytest.fixture
def forge(forge_home: Path, hosted_home: Path) -> Iterator[ForgeProcess]:
    """Yield a running forge that hosts the samples, merges green `squire/` branches and sends no webhooks.

    For webhooks start one yourself: `ForgeProcess.start(forge_home, webhook_url=…)`, then `host_repository(sample)`.
    `forge.settle()` makes what is due (checks, merges, webhooks) happen now, `forge.add_fault(…)` breaks answers.
    """
    shutil.copytree(hosted_home, forge_home)
    with ForkedForge.start(forge_home) as running:
        yield running
