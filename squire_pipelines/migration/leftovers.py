"""Says what of the old product is still to be taken over, for checks such as `squire doctor`. Nothing is changed.

No passphrase is asked for, and the environment is left out: a variable is told where the settings are read.
"""

from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.home import user_home as home_of_user
from squire_pipelines.migration.places import OldPlaces
from squire_pipelines.settings.file import SettingsFile

COMMAND = "squire migrate"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of the old product that Squire passes over: what it is, as a sentence, and what to do."""

    message: str
    step: str


def find_leftovers(home: Home, folder: Path, config: SettingsFile, *, user_home: Path | None = None) -> list[Leftover]:
    """Return what the old product left in a folder and in the user's home, and migrations that were interrupted.

    Args:
        home: Of Squire's files.
        folder: Where the old product was started, as a rule the working directory.
        config: The settings' file as it was read.
        user_home: The user's; by default that of this process's user, if there is one.
    """
    places = OldPlaces(folder=folder, user_home=user_home or home_of_user() or folder, environment={})
    if places.is_empty and not home.migrations.is_dir():
        return []
    # Reading YAML and what was sealed takes longer than all else that checks settings, who seldom have any of it.
    from squire_pipelines.migration.plan import make_plan  # noqa: PLC0415
    from squire_pipelines.migration.record import records_in  # noqa: PLC0415

    leftovers = [
        Leftover(f"a migration was interrupted: {file.path}", _GO_ON)
        for file in records_in(home.migrations)
        if file.phase != "done"
    ]
    try:
        plan = make_plan(places, config, "", ())
    except ConfigError as error:
        return [*leftovers, Leftover(error.message, error.hint)]
    step = f"run `{COMMAND} --dry-run`, which shows what would be done, then `{COMMAND}`"
    leftovers += [Leftover(f"{edit.path} has secrets of the old product in plain text", step) for edit in plan.edits]
    leftovers += [
        Leftover(f"{path}, line {line}, has {kind} in plain text, which `{COMMAND}` does not take out", _BY_HAND)
        for path, line, kind in plan.remains
    ]
    written = {row.source for row in plan.rows if row.note.startswith("written")}
    leftovers += [
        Leftover(f"{source} has settings of the old product, which are not read", step)
        for source in sorted(written - {str(edit.path) for edit in plan.edits})
    ]
    return leftovers


_BY_HAND = "take it out yourself, and replace it where it was made"
_GO_ON = f"`{COMMAND}` finishes it, `{COMMAND} --rollback` restores the old state"
