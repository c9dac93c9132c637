"""Package caches: what the settings may name, and how it is mounted."""

from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.caches import Cache, mounts, read_caches
from squire_pipelines.errors import ConfigError


def test_folders_and_volumes_are_mounted_read_only(tmp_path: Path) -> None:
    caches = read_caches({"npm": str(tmp_path), "uv": "team-uv"})
    assert caches == (Cache("npm", str(tmp_path)), Cache("uv", "team-uv"))
    assert [(each["Target"], each["Type"], each["ReadOnly"]) for each in mounts(caches)] == [
        ("/var/cache/squire/npm", "bind", True),
        ("/var/cache/squire/uv", "volume", True),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gem": "/"}, "no cache 'gem'"),
        ({"npm": "/no/such/folder"}, "is no folder"),
        ({"npm": "some/folder"}, "neither an absolute folder nor"),
    ],
)
def test_what_cannot_be_mounted_is_refused_with_the_remedy(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_caches(settings)
    assert caught.value.hint
