"""Where the worker's own files lie: beside the package in a checkout, within it in an installed wheel."""

from pathlib import Path

from squire_pipelines.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "_worker", _PACKAGE.parent / "worker-image")


def worker_file(name: str, *, places: tuple[Path, ...] = _PLACES) -> Path:
    """The path of `entrypoint.py`, `seccomp.json` or another file of the worker image.

    Raises:
        ConfigError: The installation lacks it.
    """
    for place in places:
        if (place / name).is_file():
            return place / name
    message = f"the worker's file {name} is missing from this installation"
    raise ConfigError(
        message, hint="install Squire again, or run it from a checkout", context={"places": [str(p) for p in places]}
    )


def seccomp_profile(*, places: tuple[Path, ...] = _PLACES) -> str:
    """The seccomp profile as JSON text: engines take it inline. Raises ConfigError when it is missing."""
    return worker_file("seccomp.json", places=places).read_text(encoding="utf-8")
