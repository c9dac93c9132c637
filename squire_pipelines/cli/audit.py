"""`squire audit`: who did what that matters, whether the trail is whole, and its export."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from squire_pipelines.cli.audited import record_export
from squire_pipelines.cli.context import (
    ROW_ID,
    CliContext,
    Columns,
    emit_json,
    json_option,
    limit_option,
    with_home,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import MOMENT, tenant_option
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.audit_chain import START
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ConfigError, ExitCode, LedgerError, NotFoundError
from squire_pipelines.files import open_atomically
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.audit_export import MAX_LINE, export_trail, verify_export
from squire_pipelines.ledger.audit_sealing import chain_head, seal
from squire_pipelines.ledger.audit_verification import AuditVerdict, verify_ledger
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import json_text, write_line

audit = LazyGroup(name="audit", help="List who did what that matters for security; verify and export the trail.")
_COLUMNS: Columns = {
    "id": "id",
    "at": "at",
    "actor": "actor",
    "action": "action",
    "subject": "subject",
    "reason": lambda entry: entry.detail.get("reason"),
}


@audit.command("list", examples=("squire audit list", "squire audit list --action tasks.cancel --since 7d --json"))
@click.option("--action", metavar="NAME", help="Select only this action, such as tasks.approve, or secret.* for all.")
@click.option("--actor", metavar="NAME", help="Select only what this person or part of Squire did.")
@click.option("--subject", metavar="TEXT", help="Select only what was done to a subject with this text.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Begin at this time: a date, or 7d or 12h ago.")
@tenant_option
@click.option("--before", type=ROW_ID, metavar="NUMBER", help="Go on before the entry of this number: the next page.")
@limit_option(100)
@json_option
@with_home_to_read
def list_audit(context: CliContext, /, limit: int, *, as_json: bool, **filters: Any) -> None:
    """List the audit trail, newest first."""
    with context.ledger.read() as tx:
        entries = audit_page(tx, limit=limit, **filters)
    empty, older = _empty_text(**filters), "--before"
    context.write_list(
        entries, _COLUMNS, as_json=as_json, empty=empty, limit=limit, next_option=older, wrap=("reason",)
    )


def _empty_text(*, action: str | None, **others: object) -> str:
    """Return what the list says that has no rows: what was looked for and is not there."""
    others = {name: value for name, value in others.items() if value is not None}
    if action is None:
        return "Nothing that was recorded matches the options." if others else "Nothing was done yet."
    limits = " that the other options match" if others else ""
    return f"No action {one_line(action)}{limits} was recorded."


@audit.command("head", examples=("squire audit head", "squire audit head --json"))
@json_option
@with_home
def head(context: CliContext, *, as_json: bool) -> None:
    """Seal what is not sealed, and show the newest digest. Keep it elsewhere for `squire audit verify --expect`."""
    seal(context.ledger)
    with context.ledger.read() as tx:
        newest = chain_head(tx)
    if as_json:
        emit_json(newest)
    elif newest.digest == START:
        write_line("Nothing was done yet.")
    else:
        write_line(newest.digest)


@audit.command(
    "verify", examples=("squire audit verify", "squire audit verify audit.jsonl", "squire audit verify --expect DIGEST")
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--expect", "expected", metavar="DIGEST", help="Ask for a batch with this digest: `squire audit head`.")
@json_option
@with_home
def verify(context: CliContext, file: Path | None, expected: str | None, *, as_json: bool) -> None:
    """Check that no row of the audit trail was removed, altered, added or moved; of FILE, an export, without a ledger.

    It finds what was done to rows after they were sealed. A whole chain that somebody computed anew is found by a
    digest that was kept elsewhere.
    """
    with live_line("verifying the audit trail"):
        verdict = _verify_ledger(context, expected) if file is None else _verify_file(file, expected)
    if as_json:
        emit_json({"ok": verdict.ok, **{name: getattr(verdict, name) for name in AuditVerdict.__slots__}})
        if not verdict.ok:
            raise SystemExit(ExitCode.FAILED)
        return
    for problem in verdict.problems:
        write_line(one_line(str(problem)))
    if verdict.missing_files:
        names = ", ".join(verdict.missing_files[:5])
        missing = counted(len(verdict.missing_files), "archive file")
        write_line(f"{missing} not there, so that {verdict.unchecked_rows} rows are not compared: {names}", err=True)
    elif verdict.unchecked_rows:  # of an export: whoever made it had no archive, or took them out
        rows = counted(verdict.unchecked_rows, "row")
        write_line(f"the export lacks {rows}, of which it says that they are in the archive: not compared", err=True)
    if not verdict.ok:
        raise LedgerError(
            f"the audit trail is not whole: {verdict.problems[0]}",
            hint="keep a copy of the ledger as it is, and compare it with an export or a backup",
        )
    write_line(f"ok: {counted(verdict.rows, 'row')} sealed, the newest batch is number {verdict.batches}")
    write_line(f"newest digest: {verdict.head}")
    if verdict.unsealed:
        write_line(f"{counted(verdict.unsealed, 'row')} not sealed yet")


def _verify_ledger(context: CliContext, expected: str | None) -> AuditVerdict:
    from squire_pipelines.warehouse.audit_archive import open_audit_archive  # noqa: PLC0415 - DuckDB is slow to import
    from squire_pipelines.warehouse.sharing import archive_of  # noqa: PLC0415 - likewise

    seal(context.ledger)
    folder = archive_of(context.settings, context.ledger)
    with context.ledger.read() as tx, open_audit_archive(tx, folder) as archive:
        return verify_ledger(tx, ids_in_order=context.ledger.is_sqlite, archive=archive, expected=expected)


def _verify_file(file: Path, expected: str | None) -> AuditVerdict:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return verify_export(_bounded_lines(lines), expected=expected)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}", hint="name an export of the trail") from error


def _bounded_lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        yield line


@audit.command("export", examples=("squire audit export > audit.jsonl", "squire audit export --out audit.jsonl"))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to this file, whole or not at all.")
@with_home
def export(context: CliContext, out: Path | None) -> None:
    """Write the whole trail with its chain, one JSON object a line. `squire audit verify FILE` checks it anywhere."""
    record_export(context, "the audit trail", out or "standard output")
    seal(context.ledger)
    if out is None:
        _export(context, write_line)
        return
    try:
        with open_atomically(out) as binary, io.TextIOWrapper(binary, encoding="ascii") as stream:
            count = _export(context, lambda line: stream.write(f"{line}\n"))
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be written: {error.strerror}", hint="check that the folder exists and has room"
        ) from error
    write_line(f"wrote {counted(count, 'line')} to {out}", err=True)


def _export(context: CliContext, write: Callable[[str], object]) -> int:
    from squire_pipelines.warehouse.audit_archive import open_audit_archive  # noqa: PLC0415 - DuckDB is slow to import
    from squire_pipelines.warehouse.sharing import archive_of  # noqa: PLC0415 - likewise

    count, folder = 0, archive_of(context.settings, context.ledger)
    with context.ledger.read() as tx, open_audit_archive(tx, folder) as archive:
        for values in export_trail(tx, ids_in_order=context.ledger.is_sqlite, archive=archive):
            write(json_text(values, separators=(",", ":")))
            count += 1
    return count
