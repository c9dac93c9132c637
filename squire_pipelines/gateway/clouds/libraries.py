"""The companies' own libraries, which are optional: imported where they are needed, named where they are missing."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.clouds.cloud import Platform

_PACKAGES = {Platform.BEDROCK: ("botocore", "botocore"), Platform.VERTEX: ("google.auth", "google-auth")}


def require(platform: Platform, module: str) -> Any:
    """Return a module of a platform's library. Raises ConfigError where it is not installed."""
    check_installed(platform)
    return import_module(module)


def check_installed(platform: Platform) -> None:
    """Raise ConfigError unless a platform's library is installed."""
    name, package = _PACKAGES[platform]
    try:
        is_there = find_spec(name) is not None
    except ModuleNotFoundError:  # of the folder that it lies in
        is_there = False
    if not is_there:
        raise ConfigError(
            f'platform = "{platform}" needs the library {package}, which is not installed',
            hint=f"install squire-pipelines[{platform}] where Squire runs, in the pipeline's image too",
        )
