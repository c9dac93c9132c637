"""Templates of tasks on this machine: those of this package in `templates/`, and those of an installation's folder."""

import os
from functools import cache
from importlib import resources
from pathlib import Path

from squire_pipelines.errors import SettingError
from squire_pipelines.files import open_regular
from squire_pipelines.planning.task_templates import (
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATES,
    SUFFIX,
    AnyTemplate,
    TemplateOrigin,
    UnusableTemplate,
    read_template,
    without_twins,
)


@cache
def packaged_templates() -> tuple[AnyTemplate, ...]:
    """Return the templates that Squire brings, by name."""
    folder = resources.files("squire_pipelines.planning") / "templates"
    files = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(SUFFIX))
    return tuple(read_template(name, content, TemplateOrigin.SQUIRE, name) for name, content in files)


def folder_templates(folder: Path) -> tuple[AnyTemplate, ...]:
    """Return the templates of an installation's folder, by name; none where there is no such folder.

    Raises:
        SettingError: The folder cannot be read, or has too many.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")]
    except FileNotFoundError:
        return ()
    except OSError as error:
        hint = "make it a folder that this user may read, or remove it"
        raise SettingError(f"the templates of {folder} cannot be read: {error.strerror}", hint=hint) from error
    if len(names) > MAX_TEMPLATES:
        raise SettingError(f"{folder} has more than {MAX_TEMPLATES} templates", hint="remove those that nobody uses")
    return tuple(without_twins([local_template(folder / name) for name in sorted(names)]))


def local_template(path: Path) -> AnyTemplate:
    """Return the template that a file of this machine is, or what is wrong with it. A pipe is not waited for."""
    name, origin = path.name.removesuffix(SUFFIX), TemplateOrigin.INSTALLATION
    try:
        with open_regular(path) as file:
            content = file.read(MAX_TEMPLATE_BYTES + 1)
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
        return UnusableTemplate(name, origin, str(path), problem, hint="check the file, its owner and mode")
    return read_template(path.name, content, origin, str(path))
