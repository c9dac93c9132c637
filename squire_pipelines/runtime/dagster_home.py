"""Dagster's own settings in a home: the file `dagster.yaml`, and the environment of the processes that read it."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import make_folder
from squire_pipelines.settings.model import Settings

_EARLIER_DAGSTER_YAML = {
    "28129324bdbb07886c841079911c9e7625310dab5cc42ac31a9c0ad0e0ea3719",
    "0b30da26658d817a54b0f2c3466b1e9e094ee3271882cfeb9577f4660ac86029",
    "0afb70551936d18b334bb6c27341b786bbe6218075271d2526252a2298f75374",
}
"""The SHA-256 of what earlier versions shipped: without a bound on runs that start at once, with ticks kept longer."""
_PLACES = (Path(__file__).parent, Path(__file__).parents[2])  # of an installed wheel, and of a checkout


def dagster_yaml(*, places: Sequence[Path] = _PLACES) -> Path:
    """Return the file with the instance's settings that we ship. Raises ConfigError when the installation lacks it."""
    for place in places:
        if (place / "dagster.yaml").is_file():
            return place / "dagster.yaml"
    raise ConfigError("dagster.yaml is missing from the installation", hint="install Squire again")


def instance_environment(settings: Settings) -> dict[str, str]:
    """Set up `DAGSTER_HOME`, and return the environment of our child processes, which look secrets up.

    A `dagster.yaml` that an earlier version wrote, and that nobody has changed, is replaced by ours.
    """
    dagster_home = make_folder(settings.home.dagster)
    target = dagster_home / "dagster.yaml"
    if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() in _EARLIER_DAGSTER_YAML:
        shutil.copyfile(dagster_yaml(), target)
    return {**os.environ, "DAGSTER_HOME": str(dagster_home), "PYTHONUNBUFFERED": "1"}
