"""`squire ledger move`: the ledger goes to Postgres, or back into a file, and the settings follow it."""

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.config_check import check_text
from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.person import actor, confirm
from squire_pipelines.cli.progress_bar import labelled_bar
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.moving import LedgerMove, move_ledger, place_of, plan_move, undo_move
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.types import check_ledger_url
from squire_pipelines.settings.edits import replace_settings, settings_locked, with_value, without_value
from squire_pipelines.settings.errors import variable_at
from squire_pipelines.settings.file import read_settings_file
from squire_pipelines.settings.file_systems import refuse_shared_databases
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.runtime.storage_moves import CopiedStates

_KEY = ("ledger_url",)
_MAX_URL = 4096


@command(
    "move",
    examples=(
        "squire ledger move postgresql://squire@db.example.com/squire --dry-run",
        "squire ledger move --url-env NEW_LEDGER --yes",
        "squire ledger move sqlite:////var/lib/squire/ledger.sqlite",
        "squire ledger move --undo",
    ),
)
@click.argument("url", required=False)
@click.option(
    "--url-env", metavar="NAME", help="Take the URL from this variable, for a password that nobody is to see."
)
@click.option("--undo", is_flag=True, help="Use the old ledger again, as it was before it moved.")
@click.option("--replace-signs", is_flag=True, help="Write U+FFFD for the sign NUL, which Postgres cannot store.")
@click.option("--dry-run", is_flag=True, help="Show what would be moved, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_context
def move(
    context: CliContext,
    url: str | None,
    url_env: str | None,
    *,
    undo: bool,
    replace_signs: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Move the ledger into the empty database at URL, and have the settings name it. Squire must not run.

    URL is postgresql://… or sqlite:////path; `-` reads it from standard input. What arrives is compared with what left
    by counts and digests. The old ledger stays as it is, with a note: Squire refuses it from then on. Moved back to
    its old place, the ledger takes the place of that copy, which is kept beside it.
    """
    settings = context.settings
    if undo:
        _undo(settings, yes=yes, as_json=as_json)
        return
    target_url = _named_url(url, url_env)
    after = settings.model_copy(update={"ledger_url": target_url})
    after.check_shared()  # else nothing would start any more
    refuse_shared_databases(after)
    with closing(Ledger(settings.resolved_ledger_url)) as source, closing(Ledger(target_url)) as target:
        if source.is_sqlite and not source.path.exists():
            raise NotFoundError(
                f"there is no ledger at {source.describe()} yet", hint="set ledger_url: there is nothing to move"
            )
        plan = plan_move(source, target)
        if dry_run:
            _show_plan(plan, as_json=as_json)
            return
        if not yes:
            gives_way = f", where {plan.replaced} gives way" if plan.replaced else ""
            confirm(f"move {_size(plan)} from {plan.source} to {plan.target}{gives_way}", hint="add --yes")
        done, carried = _move(settings, source, target, target_url, replace_signs=replace_signs)
    is_set = _set_url(context, target_url)
    if as_json:
        _emit(done, settings_changed=is_set)
        return
    write_line(f"ok: {done.target} is the ledger, with {_size(done)}, each table as it was")
    write_line(f"{done.source} stays as it is, and Squire refuses it; `squire ledger move` back takes one command.")
    if done.aside is not None:
        write_line(f"The file that was there before is {done.aside}.")
    if done.changed_texts:
        write_line(f"{counted(done.changed_texts, 'text')} had the sign NUL, for which U+FFFD stands now.")
    if carried is not None:
        write_line(
            f"Dagster's storage goes along: {counted(carried.states, 'state')} of sensors and schedules and "
            f"{counted(carried.partitions, 'repository', 'repositories')}. The history of runs stays in the old one."
        )
    write_line(_next_step(context, target_url, is_set=is_set))


def _named_url(url: str | None, variable: str | None) -> str:
    if (url is None) is (variable is None):
        raise click.UsageError("name the new place: as URL, or with --url-env NAME")
    if variable is not None:
        url = os.environ.get(variable)
        if not url:
            raise click.UsageError(f"the variable {variable} is not set")
    elif url == "-":
        url = sys.stdin.readline(_MAX_URL).strip()
    try:
        return check_ledger_url(url or "")
    except ValueError as error:
        raise click.UsageError(str(error)) from None  # which does not repeat the URL


def _move(
    settings: Settings, source: Ledger, target: Ledger, target_url: str, *, replace_signs: bool
) -> "tuple[LedgerMove, CopiedStates | None]":
    """Move the ledger while no other Squire serves the home, and Dagster's storage with it."""
    from squire_pipelines.home_presence import HomePresence  # noqa: PLC0415 - not for a dry run
    from squire_pipelines.runtime.home_lock import home_lock  # noqa: PLC0415 - likewise

    carried: list[CopiedStates | None] = [None]

    def carry() -> None:
        from squire_pipelines.runtime.storage_moves import carry_states  # noqa: PLC0415 - imports Dagster

        carried[0] = carry_states(settings, target_url)

    with home_lock(settings.home.run) as stopped, HomePresence(settings.home.run, say=note), labelled_bar() as progress:
        for name in stopped:
            note(f"stopped {name}, which an earlier Squire had left running")
        done = move_ledger(
            source, target, actor=actor(), progress=progress, before_end=carry, replaces_signs=replace_signs
        )
    return done, carried[0]


def _set_url(context: CliContext, url: str) -> bool:
    """Have the settings' file name the new ledger; return whether it does. A password is in no file."""
    is_default = url == f"sqlite:///{context.home.data / 'ledger.sqlite'}"
    with settings_locked(context.config_path, context.home):
        file = read_settings_file(context.config_path)
        if is_default and not file.exists:
            return True
        if is_default:
            text = without_value(file, _KEY) if _KEY[0] in file.values else file.text
        elif _has_password(url):
            return False
        else:
            text = with_value(file, _KEY, url)
        check_text(context.config_path, text)
        replace_settings(context.config_path, file.text.encode() if file.exists else None, text)
    return True


def _has_password(url: str) -> bool:
    with closing(Ledger(url)) as ledger:
        return ledger.url.password is not None


def _next_step(context: CliContext, url: str, *, is_set: bool) -> str:
    variable = variable_at(_KEY)
    if variable is not None:
        return f"The variable {variable} is set and takes precedence: set it to the new URL."
    if is_set:
        return f"{context.config_path} names it. Start Squire again."
    return (
        "The URL has a password, so that it is in no file: set SQUIRE_LEDGER_URL to it wherever Squire starts, or set "
        f"ledger_url to {_shown(url)} and give the password by PGPASSWORD or ~/.pgpass."
    )


def _shown(url: str) -> str:
    with closing(Ledger(url)) as ledger:
        return ledger.url.set(password=None, drivername="postgresql").render_as_string()


def _size(plan: LedgerMove) -> str:
    if not plan.tables:
        return "what an earlier move has brought there"
    return f"{counted(sum(table.rows for table in plan.tables), 'row')} of {counted(len(plan.tables), 'table')}"


def _show_plan(plan: LedgerMove, *, as_json: bool) -> None:
    if as_json:
        _emit(plan, settings_changed=False)
        return
    for table in plan.tables:
        if table.rows:
            write_line(f"{table.name:<20} {table.rows}")
    gives_way = f" There, {plan.replaced} would give way." if plan.replaced else ""
    write_line(f"{_size(plan)} would move from {plan.source} to {plan.target}.{gives_way}")


def _emit(done: LedgerMove, *, settings_changed: bool) -> None:
    emit_json(
        {
            "source": done.source,
            "target": done.target,
            "replaced": done.replaced or None,
            "aside": done.aside,
            "changed_texts": done.changed_texts,
            "settings_changed": settings_changed,
            "tables": [{"name": one.name, "rows": one.rows, "digest": one.digest or None} for one in done.tables],
        }
    )


def _undo(settings: Settings, *, yes: bool, as_json: bool) -> None:
    from squire_pipelines.runtime.home_lock import home_lock  # noqa: PLC0415 - only here

    with closing(Ledger(settings.resolved_ledger_url)) as ledger, home_lock(settings.home.run):
        place = place_of(ledger)
        if not yes:
            confirm(f"use {place} again, as it was before it moved", hint="add --yes")
        left = undo_move(ledger)
    if as_json:
        emit_json({"ledger": place, "left": left.place, "moved_at": left.at})
    else:
        write_line(one_line(f"ok: {place} is the ledger again, as it was at {left.at}"))
        write_line(one_line(f"What was written since is in {left.place}: let no Squire use that one beside this."))
