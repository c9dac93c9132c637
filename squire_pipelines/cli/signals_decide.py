"""`squire signals release|hold`: a person's word on what a signal may start, as its text is now."""

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_home
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.signals_show import ref_argument
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.execution.signal_decisions import decide_signal, verdict_of
from squire_pipelines.terminal.output import write_line

_reason_option = click.option("--reason", default="", help="Keep this reason with the decision.")


def _decide(
    context: CliContext,
    name: str,
    repository: str | None,
    *,
    release: bool,
    reason: str,
    as_json: bool,
    text_version: str | None = None,
) -> None:
    decided = decide_signal(
        context.ledger,
        name,
        repository=repository,
        release=release,
        actor=actor(),
        reason=reason,
        text_version=text_version,
    )
    signal = decided.signal
    if as_json:
        emit_json(
            {
                "repository": signal.repository,
                "ref": signal.ref,
                "may_start": release,
                "reason": verdict_of(signal),
                "trace_id": decided.trace_id,
            }
        )
        return
    write_line(one_line(f"{signal.repository} {signal.ref}: {verdict_of(signal)}", limit=500))
    if not release:
        write_line("Tasks that were made of it before go on: `squire tasks cancel` ends them.")


@command(
    "release",
    examples=(
        'squire signals release open_issue:12 --reason "read it, it is fine"',
        "squire signals release open_issue:12 --text-version 3f9c0d5a7be14c2f8a60d1b2c3e4f506",
    ),
)
@ref_argument
@repository_option
@click.option(
    "--text-version", metavar="VERSION", help="Refuse when the text has another version: `show` names the one it shows."
)
@_reason_option
@json_option
@with_home
def release(
    context: CliContext, signal: str, repository: str | None, text_version: str | None, reason: str, *, as_json: bool
) -> None:
    """Let a signal start work, as its text is now. Read it first: `squire signals show`.

    The decision is audited. Of a text it ends when somebody without write permission changes it. Of a failed check it
    is about the check's name and branch, on every commit, until `squire signals hold` undoes it; where a passer-by can
    start the check's workflow again, it is about this commit.
    """
    _decide(context, signal, repository, release=True, reason=reason, as_json=as_json, text_version=text_version)


@command("hold", examples=('squire signals hold review_finding:T1 --reason "not now"',))
@ref_argument
@repository_option
@_reason_option
@json_option
@with_home
def hold(context: CliContext, signal: str, repository: str | None, reason: str, *, as_json: bool) -> None:
    """Let a signal start no work, whoever wrote it: the opposite of `squire signals release`.

    It lasts until `squire signals release` undoes it, whatever becomes of the text and whatever labels are set. Of a
    failed check it is about the check's name and branch, on every commit; of a finding in a bot's summary, about its
    words.
    """
    _decide(context, signal, repository, release=False, reason=reason, as_json=as_json)
