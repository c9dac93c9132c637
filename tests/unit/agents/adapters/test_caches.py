"""Package caches: what the settings may name, and how it is mounted."""

from pathlib import Path

from squire_pipelines.agents.adapters.caches import Cache, mounts, read_caches


def test_folders_and_volumes_are_mounted_read_only(tmp_path: Path) -> None:
    caches = read_caches({"npm": str(tmp_path), "uv": "team-uv"})
    assert caches == (Cache("npm", str(tmp_path)), Cache("uv", "team-uv"))
    assert [(mount["Target"], mount["Type"], mount["ReadOnly"]) for mount in mounts(caches)] == [
        ("/var/cache/squire/npm", "bind", True),
        ("/var/cache/squire/uv", "volume", True),
    ]
