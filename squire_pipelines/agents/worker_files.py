"""Finds the worker's own files: beside the package in a checkout, within it in an installed wheel."""

from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.types import check_seccomp_text

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "_worker", _PACKAGE.parent / "worker-image")


def worker_file(name: str, *, places: tuple[Path, ...] = _PLACES) -> Path:
    """Return the path of `entrypoint.py`, `seccomp.json` or another file of the worker image.

    Raises:
        ConfigError: The installation lacks it.
    """
    for place in places:
        if (place / name).is_file():
            return place / name
    raise ConfigError(
        f"the worker's file {name} is missing from this installation",
        hint="install Squire again, or run it from a checkout",
        context={"places": [str(p) for p in places]},
    )


def seccomp_profile(path: Path | None = None, *, places: tuple[Path, ...] = _PLACES) -> str:
    """Return the seccomp profile as JSON text, as engines take it; the shipped one when no `path` is given.

    Raises:
        ConfigError: It is missing, cannot be read, or is no profile.
    """
    file = worker_file("seccomp.json", places=places) if path is None else path.expanduser()
    hint = "fix it, or leave agent.seccomp out for the shipped one"
    try:
        text = file.read_text(encoding="utf-8")
        check_seccomp_text(text)
    except OSError as error:
        raise ConfigError(f"the seccomp profile {file} cannot be read: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise ConfigError(f"the seccomp profile {file} {error}", hint=hint) from error
    return text
