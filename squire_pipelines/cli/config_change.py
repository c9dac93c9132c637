"""`squire config set` and `edit`: changes of the settings' file that are checked as a whole before they are written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import click

from squire_pipelines.cli.audited import record_settings
from squire_pipelines.cli.config_check import check_text, what_is_missing
from squire_pipelines.cli.config_values import shown
from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.editor import forget_draft, named_editor, new_draft, run_editor
from squire_pipelines.cli.failures import note, report
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import SETTING_KEY
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.ledger.settings_changes import flatten
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.sections.annotations import forms_of
from squire_pipelines.settings.edits import read_if_there, replace_settings, settings_locked, with_value, without_value
from squire_pipelines.settings.errors import variable_at
from squire_pipelines.settings.file import KeyPath, key_text, parse_settings, read_settings_file, toml_text
from squire_pipelines.settings.keys import annotation_at, parse_key
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.restarts import RESTART_KEYS, Part
from squire_pipelines.terminal.output import ask, write_line

MAX_MEMBERS = 1000


@command(
    "set",
    examples=(
        "squire config set dispatch.max_concurrent 3",
        "squire config set repositories owner/one owner/two",
        "squire config set repository.owner/name.agent.kind codex",
        "squire config set alerts.webhook_url --unset",
    ),
)
@click.argument("key", type=SETTING_KEY)
@click.argument("values", nargs=-1, metavar="[VALUE]...")
@click.option("--unset", is_flag=True, help="Take the key out of the file, so that its default holds.")
@with_context
def set_value(context: CliContext, key: str, values: tuple[str, ...], *, unset: bool) -> None:
    """Set one key in the file, whose comments and order stay. Nothing is written unless all of it is valid.

    KEY is one that `squire config show` prints. VALUE is plain text or TOML; several make a list. What is written has
    the old file's permissions, and a file that is a link stays one.
    """
    if unset is bool(values):
        raise click.UsageError("name a VALUE, or say --unset")
    path = parse_key(key, Settings)
    hand_on_config(context)
    with settings_locked(context.config_path, context.home):
        file = read_settings_file(context.config_path)
        texts = iter([without_value(file, path)]) if unset else _texts(file, path, values)
        text = _first_valid(context.config_path, texts)
        replace_settings(context.config_path, file.text.encode() if file.exists else None, text)
    changed: Any = parse_settings(context.config_path, text).values
    for part in () if unset else path:
        changed = changed[part]
    setting = key_text(path)
    record_settings(context, [".".join(map(str, path))])
    write_line(f"unset {setting}" if unset else f"set {setting} = {toml_text(shown(path, changed))}")
    if (variable := variable_at(path)) is not None:
        note(f"the variable {variable} is set, and takes precedence over the file")
    _tell_restarts(context, ".".join(map(str, path)))
    _tell_what_is_missing(context.config_path, text)


def _tell_restarts(context: CliContext, changed: str) -> None:
    """Name the running processes that were started with the key, and do not take its new value."""
    keys = [key for key in RESTART_KEYS if f"{changed}.".startswith(f"{key}.") or key.startswith(f"{changed}.")]
    parts = frozenset({Part.DEV}.union(*(RESTART_KEYS[key] for key in keys))) if keys else frozenset()
    running = {status.process for status in read_statuses(context.home)} & parts
    if running:
        # It starts the others, so that its restart is theirs.
        names = "`squire dev`" if Part.DEV in running else ", ".join(sorted(running))
        note(f"start {names} again: what runs was started with another value of {', '.join(keys)}")


def _tell_what_is_missing(path: Path, text: str) -> None:
    # No reason not to write: a change of agent and provider takes two commands, between which they do not fit.
    if (error := what_is_missing(path, text)) is not None:
        note(f"no task can start yet: {error.message} ({error.hint})")


def _texts(file: Any, path: KeyPath, values: tuple[str, ...]) -> Iterator[str]:
    for value in _readings(annotation_at(Settings, path), values):
        yield with_value(file, path, value)


def _readings(annotation: Any, values: tuple[str, ...]) -> Iterator[Any]:
    """Yield what the words of a command line may mean for a setting, the likeliest first."""
    members = [member.strip() for value in values for member in value.split(",")] if len(values) == 1 else [*values]
    as_toml = _toml_of(values[0]) if len(values) == 1 else None
    is_list = any(get_origin(form) in (tuple, list) for form in forms_of(annotation))
    is_list_alone = is_list and str not in forms_of(annotation)
    if as_toml is not None and (isinstance(as_toml, list) or not is_list_alone):
        yield as_toml
    if len(values) == 1 and not is_list_alone:
        yield values[0]
    if is_list or len(values) > 1 or annotation is None:
        yield members[:MAX_MEMBERS]


def _toml_of(text: str) -> Any:
    """Return the value that a text of TOML is; None for a text that is none, or that is a date."""
    try:
        value = parse_settings(Path(), f"value = {text}\n").values["value"]
        toml_text(value)
    except (SettingError, KeyError):
        return None
    return value if isinstance(value, bool | int | float | str | list | dict) else None


def _first_valid(path: Path, texts: Iterator[str]) -> str:
    """Return the first text that is valid as a whole. Raises the first one's error when none is."""
    first: ConfigError | None = None
    for text in texts:
        try:
            check_text(path, text)
        except ConfigError as error:
            first = first or error
        else:
            return text
    if first is None:
        raise SettingError(f"nothing can be written to {path}", hint="use `squire config edit`")
    raise SettingError(
        f"nothing was written, since with this change {first.message}",
        hint=first.hint,
        place=getattr(first, "place", ""),
        context=first.context,
    ) from first


@command("edit", examples=("squire config edit", "EDITOR=nano squire config edit"))
@with_context
def edit(context: CliContext) -> None:
    """Open a copy of the file in $VISUAL or $EDITOR, and write it when all of it is valid.

    On a terminal a wrong copy may be edited again; else it is kept, and the exit code is 3.
    """
    editor = named_editor()
    if editor is None:
        path = context.config_path
        raise SettingError("no editor is named", hint=f"set the variable EDITOR, or open {path} yourself")
    hand_on_config(context)
    content = _content(context.config_path)
    draft = new_draft(context.home.run, "config.toml", content or b"")
    while True:
        run_editor(editor, draft, before=content or b"")
        if not draft.is_file():
            raise SettingError(
                f"the editor left no file at {draft}, and nothing was written", hint="do it again with another editor"
            )
        if draft.read_bytes() == (content or b""):
            forget_draft(draft)
            write_line("nothing was changed")
            return
        if (content or b"").strip() and not draft.read_bytes().strip():  # as what runs refuses a file that was emptied
            forget_draft(draft)
            raise SettingError(
                "the editor left an empty file, and nothing was written",
                hint=f"do it again; for the defaults leave a comment in it, or remove {context.config_path}",
            )
        try:
            text = read_settings_file(draft).text
            check_text(draft, text)
        except ConfigError as error:
            report(error, verbose=False)
            if context.is_interactive and ask("edit again? [Y/n]", default="y").strip().lower() in {"", "y", "yes"}:
                continue
            raise SettingError(
                f"nothing was written; your text is kept in {draft}",
                hint=f"correct it, and copy it to {context.config_path}",
            ) from error
        break
    try:
        with settings_locked(context.config_path, context.home):
            replace_settings(context.config_path, content, text)
    except SettingError as error:
        raise SettingError(f"{error.message}; your text is kept in {draft}", hint=error.hint) from error
    forget_draft(draft)
    record_settings(context, _changed_keys(context.config_path, content, text))
    write_line(f"wrote {context.config_path}")
    _tell_what_is_missing(context.config_path, text)


def _changed_keys(path: Path, before: bytes | None, text: str) -> list[str]:
    """Return the keys that differ between two texts of the file; all of the new one's where the old one is no TOML."""
    try:
        old = dict(flatten(parse_settings(path, (before or b"").decode()).values))
    except (SettingError, UnicodeDecodeError):
        old = {}
    new = dict(flatten(parse_settings(path, text).values))
    return [key for key in {**old, **new} if key not in old or key not in new or old[key] != new[key]]


def _content(path: Path) -> bytes | None:
    try:
        return read_if_there(path)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}", hint="check the file's owner and mode"
        ) from error
