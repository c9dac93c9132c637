"""`squire webhooks show`: one delivery with what came, what became of it, and what it did."""

import json
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_home_to_read, write_fields
from squire_pipelines.cli.delivery_lookup import find_delivery
from squire_pipelines.cli.delivery_options import event_of
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.stored_deliveries import body_of
from squire_pipelines.cli.stored_signatures import open_verifier
from squire_pipelines.cli.text import counted, instant, size
from squire_pipelines.domain.deliveries import DeliveryState
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.events import delivered_object
from squire_pipelines.ledger.delivery_effects import RecordedEffect, effects_of
from squire_pipelines.ledger.delivery_repetitions import REPEATED_RULE, first_of_repeated
from squire_pipelines.terminal.output import json_text, write_line
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict


@command(
    "show",
    examples=(
        "squire webhooks show 17",
        "squire webhooks show 72d3162e-cc78-11e3-81ab-4c9367dc0958 --body",
        "squire webhooks show 17 --body --json",
    ),
)
@click.argument("name", metavar="ID")
@click.option("--body", "with_body", is_flag=True, help="Show what was delivered, too.")
@json_option
@with_home_to_read
def show(context: CliContext, name: str, *, with_body: bool, as_json: bool) -> None:
    """Show a delivery: the headers that are kept, its state, what it did, its trace, and whether its signature holds.

    ID is its number in the list, or GitHub's id (X-GitHub-Delivery). The signature is verified again with the secrets
    that there are now: it is invalid after a rotation, and unknown where none was kept or no secret can be read.
    """
    with context.ledger.read() as tx:
        row = find_delivery(context, tx, name)
        effects = effects_of(tx, [row["id"]])
        first = first_of_repeated(tx, row["id"]) if row["filtered_by"] == REPEATED_RULE else None
    try:
        body = body_of(row)
        verdict = open_verifier(context)(row, body)
    except DeliveryError as error:
        if with_body:
            raise
        body, verdict = b"", SignatureVerdict(SignatureState.UNKNOWN, error.message)
    del row["body"], row["body_encoding"]
    row["body_bytes"] = len(body)
    if as_json:
        emit_json(_document(row, verdict, effects, body if with_body else None))
        return
    write_fields(row | {"verdict": verdict, "repeats": first}, _FIELDS)
    for effect in effects:
        write_line(f"  effect:        {one_line(_effect(effect))}")
    if not effects:
        write_line(f"  effects:       {_no_effects(row)}")
    if with_body:
        write_line(f"\nBody:\n{_readable(body)}")


_FIELDS: Columns = {
    "delivery": "id",
    "source": "source",
    "event": event_of,
    "delivery id": "delivery_id",
    "hook id": "hook_id",
    "repository": "repository",
    "sender": "sender",
    "body": lambda row: f"{size(row['body_bytes'])}, SHA-256 {row['body_sha256']}",
    "signature": lambda row: f"{row['verdict'].state}: {row['verdict'].reason}",
    "state": "state",
    "filtered by": "filtered_by",
    "repeats": lambda row: None if row["repeats"] is None else f"delivery {row['repeats']}, which has the same body",
    "error": "error",
    "received": "received_at",
    "requested": lambda row: _times(row["requested_at"], row["tries"]),
    "collected": "collected_at",
    "applied": "applied_at",
    "apply tries": lambda row: row["apply_tries"] or None,
    "set aside": "set_aside_at",
    "replayed": lambda row: _times(row["replayed_at"], row["replays"]),
    "trace": "trace_id",
    "read in trace": lambda row: None if row["collected_trace_id"] == row["trace_id"] else row["collected_trace_id"],
}


def _times(last: Any, count: int) -> str | None:
    """Return how often something was done, and when last."""
    return f"{counted(count, 'time')}, last {instant(last)}" if count else None


def _effect(effect: RecordedEffect) -> str:
    detail = f": {effect.detail}" if effect.detail else ""
    return f"{instant(effect.at)} {effect.effect} {effect.subject}{detail}, trace {effect.trace_id}"


def _no_effects(row: dict[str, Any]) -> str:
    """Return what is said of a delivery that did nothing; one that asked for nothing was closed when it came."""
    if row["state"] == DeliveryState.DONE and not row["tries"] and row["collected_at"] == row["applied_at"]:
        return "none: it says nothing that Squire acts on, or the settings did not name its repository when it came"
    return "none are recorded"


def _readable(body: bytes) -> str:
    """Return a body as indented JSON where it is JSON or a form with it, else as the text that it is."""
    try:
        return json_text(delivered_object(body), indent=2)
    except (DeliveryError, RecursionError):  # it may be nested more deeply than can be indented
        return body.decode("utf-8", errors="replace")


def _document(
    row: dict[str, Any], verdict: SignatureVerdict, effects: tuple[RecordedEffect, ...], body: bytes | None
) -> dict[str, Any]:
    signature = {"header": row.pop("signature"), "state": verdict.state, "reason": verdict.reason}
    document = {**row, "signature": signature, "effects": effects}
    if body is not None:
        try:
            document["body"] = _repeatable(body)
        except (ValueError, RecursionError):
            document["body"] = body.decode("utf-8", errors="replace")
    return document


def _repeatable(body: bytes) -> Any:
    """Return what a body says as JSON. Raises ValueError, RecursionError where that cannot be written as JSON again.

    Python reads `NaN` and numbers beyond all bounds, which are no JSON, and nests more deeply than it can write.
    """
    content = json.loads(body)
    json.dumps([[[[content]]]], indent=2, allow_nan=False)
    return content
