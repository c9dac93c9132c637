"""An upstream repository, its mirror, and an agent's working copy on the task's branch."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.home import Home
from squire_pipelines.publishing.mirror import fetch_mirror
from tests.support.git_repository import Checkout, make_upstream
from tests.support.workshop import BRANCH, Workshop


@pytest.fixture
def home(tmp_path: Path) -> Home:
    root = tmp_path / "home"
    return Home(config=root, data=root, cache=root / "cache", state=root)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return make_upstream(tmp_path / "upstream.git")


@pytest.fixture
def workshop(tmp_path: Path, home: Home, upstream: Path) -> Workshop:
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    agent = Checkout(tmp_path / "agent", upstream)
    base_sha = agent.head()
    agent.git("checkout", "--quiet", "-b", BRANCH)
    return Workshop(tmp_path, home, upstream, mirror, agent, base_sha)


@pytest.fixture
def sentinel(tmp_path: Path) -> Callable[[], bool]:
    """Whether anything of the agent's has run."""
    return (tmp_path / "ran").exists
