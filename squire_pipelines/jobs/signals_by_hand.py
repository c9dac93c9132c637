"""Jobs that people launch in Dagster's UI about signals: release, hold, and read repositories now.

Each does what the command and the board do, by the same functions, and is recorded as `dagster:NAME`.
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from squire_pipelines.assets.page_urls import board_link, repository_links
from squire_pipelines.assets.tables import escape
from squire_pipelines.domain.plurals import counted
from squire_pipelines.errors import SquireError
from squire_pipelines.jobs.runs_by_hand import (
    KIND,
    PERSON,
    actor_of,
    by_whom,
    failure_of,
    job_by_hand,
    named_things,
    reason_of,
    trace_shown,
)
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.ledger.store import Ledger


class NamedSignal(RunConfig):
    """The signal that a person decides about, and why."""

    signal: str = Field(
        description="Reference of the signal, such as open_issue:12, or its number, as the board and "
        "`squire signals list` show them."
    )
    repository: str = Field(
        default="", description="Its repository, such as owner/name, where several have a signal of that reference."
    )
    reason: str = Field(default="", description="Why, for the audit trail; 500 characters at most.")
    person: str = Field(default="", description=PERSON)


class ReadSignal(NamedSignal):
    """The signal that a person has read and decides about."""

    text_version: str = Field(
        default="",
        description="Version of the text that you have read, as its page on the board and `squire signals show` have "
        "it: where somebody has changed it meanwhile, nothing is released.",
    )


class NamedRepositories(RunConfig):
    """The repositories that a person wants to be read."""

    repositories: list[str] = Field(
        default=[],
        description="Names of repositories of the settings, such as owner/name; all of them where none is named.",
    )
    fresh: bool = Field(
        default=False, description="Whether everything is read, also where a look at GitHub finds nothing new."
    )


@dg.op(name="release", description="Let a signal start work, as `squire signals release` does.", tags=KIND)
def release(context: dg.OpExecutionContext, config: ReadSignal, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Let a signal start work, as its text is now, and have its repository read."""
    with run_trace(context) as trace_id:
        version = config.text_version.strip() or None
        _decide(context, config, settings, ledger, release=True, text_version=version, trace_id=trace_id)


@dg.op(name="hold", description="Let a signal start no work, as `squire signals hold` does.", tags=KIND)
def hold(context: dg.OpExecutionContext, config: NamedSignal, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Keep a signal from starting work, whoever wrote it, and have its repository read."""
    with run_trace(context) as trace_id:
        _decide(context, config, settings, ledger, release=False, trace_id=trace_id)


def _decide(
    context: dg.OpExecutionContext,
    config: NamedSignal,
    settings: Settings,
    ledger: "Ledger",
    *,
    release: bool,
    trace_id: str,
    text_version: str | None = None,
) -> None:
    from squire_pipelines.execution.signal_decisions import decide_signal, verdict_of

    reason, actor = reason_of(config.reason), actor_of(config.person)
    try:
        signal = decide_signal(
            ledger,
            config.signal.strip(),
            repository=config.repository.strip() or None,
            release=release,
            actor=actor,
            reason=reason,
            text_version=text_version,
            trace_id=trace_id,
        ).signal
    except SquireError as error:
        raise failure_of(error) from error
    words = " ".join(f"{signal.repository} {signal.ref}: {verdict_of(signal)}".split())
    context.log.info(words)
    context.add_output_metadata(
        {
            "done": dg.MetadataValue.md(escape(words)),
            **by_whom(actor, trace_id),
            **repository_links(settings, signal.repository, "/signals"),
        }
    )


@dg.op(
    name="request_reading",
    description="Ask for repositories to be read, as `squire signals collect` does; the sensor `webhooks` reads them "
    "within seconds, in a run of the job `collect`.",
    tags=KIND,
)
def request_reading(
    context: dg.OpExecutionContext, config: NamedRepositories, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """Write into the inbox what is to be read, and wait for nothing: the reading is a run of its own."""
    from squire_pipelines.domain.deliveries import DeliverySource
    from squire_pipelines.github.tenant_access import access_to_all
    from squire_pipelines.ledger import deliveries
    from squire_pipelines.settings.named_repositories import repositories_of_cycle

    asked = named_things(config.repositories, "repositories") if config.repositories else ()
    with run_trace(context) as trace_id:
        try:
            access_to_all(settings, required=True)
            names = repositories_of_cycle(settings, asked)
            with ledger.write() as tx:
                requests = deliveries.request_collection(
                    tx, names, source=DeliverySource.COMMAND, trace_id=trace_id, fresh=config.fresh
                )
        except SquireError as error:
            raise failure_of(error) from error
    places = counted(len(names), "repository", "repositories")
    context.log.info(f"the sensor `webhooks` is asked to read {places}")
    one = repository_links(settings, names[0], "/signals") if len(names) == 1 else board_link(settings, "/signals")
    context.add_output_metadata(
        {
            "repositories": list(names),
            "requests": len(requests),
            **trace_shown(trace_id),
            **one,
        }
    )


JOBS = (
    job_by_hand(
        release,
        "release_signal",
        command="squire signals release",
        description="Let the signal that you name start work, as its text is now. Read it first: on the board, or by "
        "`squire signals show`.",
    ),
    job_by_hand(
        hold,
        "hold_signal",
        command="squire signals hold",
        description="Let the signal that you name start no work, whoever wrote it.",
    ),
    job_by_hand(
        request_reading,
        "collect_now",
        command="squire signals collect",
        description="Read the repositories that you name, or all, without waiting for the time.",
    ),
)
