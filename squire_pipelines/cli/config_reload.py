"""`squire config reload`: has the running processes read the settings again, and says who has taken which version."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from squire_pipelines.cli.audited import record_settings
from squire_pipelines.cli.config_check import read_alone
from squire_pipelines.cli.config_values import SettingRow, flatten
from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, seconds_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.cli.text import counted
from squire_pipelines.errors import ConfigError, ExitCode, SettingError
from squire_pipelines.reloading.last_good import LastGood, SettingsCopy, version_of
from squire_pipelines.reloading.process_status import ProcessStatus, ask_for_reload, read_statuses
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.terminal.output import write_line

_POLL_S = 0.1
_MAX_KEYS = 20
_TAKEN, _REFUSED, _WAITING = "taken", "refused", "not yet"


@command("reload", examples=("squire config reload", "squire config reload --wait 0", "squire config reload --json"))
@seconds_option("--wait", 15, "Wait this long for the running processes.", least=0, most=600)
@json_option
@with_context
def reload_settings(context: CliContext, wait: float, *, as_json: bool) -> None:
    """Check the file, have the processes of this home read it and their secrets again, and say what each has taken.

    They notice a changed file by themselves: the receiver and `squire dev` within a second, the sensors at their next
    tick. Only the keys of what has changed are shown. `restart` names those that a process takes at its next start.
    The exit code is 3 when the file is not valid, and 1 when a process has not taken it in time.
    """
    hand_on_config(context)
    try:
        _ = context.settings
    except ConfigError:
        tell_what_holds(context)
        raise
    file = read_settings_file(context.config_path)
    version = version_of(file)
    before = _copy_before(context, file)
    changed = _changed_keys(before, file)
    try:
        request = ask_for_reload(context.home)
    except OSError as error:
        raise SettingError(
            f"the processes cannot be told: {context.home.reload_request}: {error.strerror}",
            hint="make the home writable; they notice a changed file by themselves all the same",
        ) from error
    record_settings(context, ())
    statuses = _wait_for_all(context, request, wait)
    rows = [_row(status, version, request) for status in statuses]
    if as_json:
        names = ("file", "version", "changed", "processes")
        emit_json(dict(zip(names, (context.config_path, version, changed, rows), strict=True)))
    else:
        _show(context, version, changed, before, rows)
    if any(row["state"] != _TAKEN or row["problem"] for row in rows):
        raise SystemExit(ExitCode.FAILED)


def _wait_for_all(context: CliContext, request: str, wait_s: float) -> tuple[ProcessStatus, ...]:
    deadline = time.monotonic() + wait_s
    while True:
        statuses = read_statuses(context.home)
        if all(status.asked == request for status in statuses) or time.monotonic() >= deadline:
            return statuses
        time.sleep(_POLL_S)


def _row(status: ProcessStatus, version: str, request: str) -> dict[str, Any]:
    if status.asked != request:
        state = _WAITING
    elif status.reason:
        state = _REFUSED
    else:
        state = _TAKEN if status.version == version else _WAITING
    return {
        "process": status.process.value,
        "pid": status.pid,
        "state": state,
        "version": status.version,
        "taken_at": status.taken_at,
        "restart": list(status.restart),
        "reason": status.reason,
        "problem": status.problem,
    }


def _copy_before(context: CliContext, file: SettingsFile) -> SettingsCopy | None:
    """Return the last valid copy that differs from the file; None where none was taken before."""
    copies = LastGood(context.config_path, context.home)
    last = copies.read()
    return copies.read_previous() if last is not None and last.version == version_of(file) else last


def _changed_keys(before: SettingsCopy | None, file: SettingsFile) -> list[str]:
    if before is None:
        return []
    try:
        old, new = (dict(flatten(read_alone(side))) for side in (before.file, file))
    except ConfigError:
        return []  # of an older Squire, whose keys have other names
    absent = object()
    return [SettingRow(path, None, "").key for path in {**old, **new} if old.get(path, absent) != new.get(path, absent)]


def _show(
    context: CliContext,
    version: str,
    changed: Sequence[str],
    before: SettingsCopy | None,
    rows: Sequence[dict[str, Any]],
) -> None:
    path = context.config_path
    write_line(f"ok: {path if path.is_file() else 'the defaults and the environment'}, version {version}")
    if changed and before is not None:
        more = f" and {counted(len(changed) - _MAX_KEYS, 'more key')}" if len(changed) > _MAX_KEYS else ""
        keys = ", ".join(changed[:_MAX_KEYS])
        write_line(f"changed since the version {before.version}: {keys}{more}")
    columns: Columns = {
        "process": "process",
        "pid": "pid",
        "settings": "state",
        "version": "version",
        "restart": lambda row: ", ".join(row["restart"]),
        "reason": lambda row: row["reason"] or row["problem"],
    }
    empty = "no process of this home is running; the next start reads the file"
    context.write_list(rows, columns, as_json=False, empty=empty, wrap=("restart", "reason"))


def remarks(statuses: Sequence[ProcessStatus], version: str | None) -> Iterator[tuple[str, str]]:
    """Yield what people should know of the running processes' settings, each with what to do.

    Args:
        statuses: Of the processes.
        version: Of the file as it is now; None where it is not valid.
    """
    for status in statuses:
        name, holds = f"{status.process} (process {status.pid})", f"the version {status.version} holds"
        if status.reason:
            yield f"{name} refuses the changed settings, and {holds}: {status.reason}", "fix them: `squire config edit`"
        elif version is None:
            yield f"in {name} {holds}, of {status.taken_at:%Y-%m-%d %H:%M} UTC", "fix the file: `squire config edit`"
        elif status.version != version:
            yield f"{name} has not taken the changed settings yet; {holds}", "run `squire config reload`"
        if status.problem:
            yield f"{name}: {status.problem}", "`squire secrets set webhook-secret` sets it"
        if status.restart:
            yield f"{name} was started with other values of {', '.join(status.restart)}", f"start {name} again"


def tell_what_holds(context: CliContext) -> None:
    """Tell on standard error what the running processes go on with where it is not what the file says now."""
    try:
        version = version_of(read_settings_file(context.config_path)) if "settings" in context.__dict__ else None
    except ConfigError:
        version = None
    statuses = read_statuses(context.home)
    for text, step in remarks(statuses, version):
        note(f"{text}; {step}")
    if version is None and not statuses:
        copy = LastGood(context.config_path, context.home)
        if (last := copy.read()) is not None:
            since = f"{last.taken_at:%Y-%m-%d %H:%M} UTC"
            note(f"the receiver and `squire dev` start with the last good copy, of {since}: {copy.path}")
