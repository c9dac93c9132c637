"""The check for secrets in the clear: in environment variables, the settings' file, what an older product left."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.secret_places import all_names
from squire_pipelines.domain.credentials import find_credentials
from squire_pipelines.health.machine_steps import in_container
from squire_pipelines.migration.leftovers import find_leftovers
from squire_pipelines.secret_names import variables_of
from squire_pipelines.settings.file import read_settings_file

NAME = "plaintext"
_MAX_FILE_BYTES = 2**20
_MAX_LINES = 20
_MAX_COPIES = 20
_SETTINGS_STEP = "run `squire secrets set NAME`, take it out of the file, and replace it where it was made"
_COPY_STEP = "remove this copy when the settings' file has no secret any more, and replace the secret where it was made"
_URL_VARIABLE = "SQUIRE_LEDGER_URL"
_URL_STEP = "leave it out of the URL, and write it into ~/.pgpass or the file that PGPASSFILE names, with mode 0600"


def check_plaintext(context: CliContext) -> Iterator[Diagnosis]:
    """Look for secrets that lie in the clear, and say how each is taken away."""
    names = all_names(context.settings.named_secrets)
    rows = [
        *judge_environment(names, os.environ, is_container=in_container()),
        *judge_settings_text(context.config_path, read_bounded(context.config_path)),
        *(row for path in earlier_copies(context) for row in judge_settings_text(path, read_bounded(path), _COPY_STEP)),
        *_old_product(context),
    ]
    yield from rows
    if not rows:
        yield Diagnosis(NAME, "ok", "no secret in the clear in the environment, the settings or an old product's files")


def _old_product(context: CliContext) -> Iterator[Diagnosis]:
    """Yield a line for each thing that the old product left, and for a migration that was interrupted."""
    for one in find_leftovers(context.home, Path.cwd(), read_settings_file(context.config_path)):
        yield Diagnosis(NAME, "warn", one.message, one.step)


def judge_environment(
    names: Iterable[str], environment: Mapping[str, str], *, is_container: bool
) -> Iterator[Diagnosis]:
    """Yield a line for each variable that holds a secret; in a container that is how an orchestrator hands them over.

    Args:
        names: Of the secrets.
        environment: The variables.
        is_container: Whether this process is in a container.
    """
    for name in names:
        for variable in variables_of(name):
            if environment.get(variable, "").strip() and not is_container:
                message = f"the variable {variable} holds {name}, and other processes of this user can read it"
                step = f"run `printenv {variable} | squire secrets set {name}`, then remove it where it is set"
                yield Diagnosis(NAME, "warn", message, step)
    if any(find_credentials(environment.get(_URL_VARIABLE, ""))) and not is_container:
        yield Diagnosis(NAME, "warn", f"the variable {_URL_VARIABLE} holds a password", _URL_STEP)


def earlier_copies(context: CliContext) -> Iterator[Path]:
    """Yield where earlier settings are kept, which may have what was taken out of the file: copies and drafts."""
    path, home = context.config_path, context.home
    yield path.with_name(f"{path.name}.bak")
    yield from sorted(home.settings_state.glob("*.toml"))[:_MAX_COPIES]
    yield from sorted(home.run.glob("edit-*/config.toml"))[:_MAX_COPIES]


def judge_settings_text(path: Path, text: str, step: str = _SETTINGS_STEP) -> Iterator[Diagnosis]:
    """Yield a line for each line of the settings' file that looks as if it held a credential; none is repeated."""
    count = 0
    for number, line in enumerate(text.splitlines(), start=1):
        for kind in find_credentials(line):
            count += 1
            if count <= _MAX_LINES:
                line_step = _URL_STEP if line.lstrip().startswith("ledger_url") else step
                yield Diagnosis(NAME, "warn", f"{path}, line {number}, has {kind} in the clear", line_step)
            break


def read_bounded(path: Path) -> str:
    """Return the beginning of a file's text; nothing when it is not there or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
