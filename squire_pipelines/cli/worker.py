"""`squire worker`: takes runs from the queue on this machine."""

import os
from contextlib import AbstractContextManager, nullcontext

import click

from squire_pipelines.cli.context import CliContext, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.domain.worker_rules import (
    MAX_WORKER_NAME,
    SERVED,
    WorkKind,
    check_labels,
    check_worker_name,
)
from squire_pipelines.machine_name import MACHINE_VARIABLE, machine_name
from squire_pipelines.terminal.output import write_line

_MAX_SLOTS = 64


def _checked_name(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    try:
        return check_worker_name(value or machine_name()[:MAX_WORKER_NAME])
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _checked_labels(_ctx: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return check_labels(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@command(
    "worker",
    examples=(
        "squire worker                               # take runs of all kinds but the steward's own",
        "squire worker --queue agent --slots 8       # agents alone, eight at once",
        "squire worker --queue agent --label gpu     # also agents whose agent.worker_labels name gpu",
        "squire worker --name build-3                # by another name than the machine's",
    ),
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice([kind.value for kind in WorkKind]),
    help="Take this kind of work; may be given several times. By default all but keep, which is the steward's own.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_checked_labels,
    metavar="LABEL",
    help="Take agents that ask for this label, too; up to four times.",
)
@click.option("--slots", type=click.IntRange(1, _MAX_SLOTS), default=4, show_default=True, help="Runs at once.")
@click.option(
    "--name",
    callback=_checked_name,
    metavar="NAME",
    help="Of this worker; by default SQUIRE_MACHINE, or the host's.",
)
@with_context
def worker(context: CliContext, queues: tuple[str, ...], labels: tuple[str, ...], slots: int, name: str) -> None:
    """Take runs from the queue of several machines, until Ctrl-C.

    The settings name the broker (workers.broker_url) and the ledger on Postgres. Each run is a process of its own, and
    agents run on the container engine of this machine. At the first SIGTERM or Ctrl-C no more runs are taken, and the
    command ends when those under way are over; at a second one they are interrupted, and their tasks are tried again.
    """
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - other commands take no runs
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - likewise
    from squire_pipelines.endpoint.worker_metrics import worker_metrics  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger.store import Ledger  # noqa: PLC0415 - likewise
    from squire_pipelines.observability.logging import Component  # noqa: PLC0415 - likewise
    from squire_pipelines.process_setup import outlive_hang_ups, set_up_process  # noqa: PLC0415 - likewise
    from squire_pipelines.reloading.in_force import settings_in_force  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.queue_worker import WorkerChoices, serve  # noqa: PLC0415 - likewise
    from squire_pipelines.work_queue.broker import broker_app  # noqa: PLC0415 - likewise

    outlive_hang_ups()
    hand_on_config(context)
    os.environ[MACHINE_VARIABLE] = name  # in the log lines of this process and of its runs
    settings = context.settings
    unlock_store(context, settings.secret_sources)
    set_up_process(Component.WORKER)
    settings.check_shared()
    broker_app(settings)  # before the ledger is opened, which one machine has for itself
    kinds = tuple(WorkKind(queue) for queue in dict.fromkeys(queues)) or SERVED
    ledger = Ledger(settings.resolved_ledger_url)
    if ledger.revision() is None:  # the first of all that start makes it
        ledger.ensure_schema()
    # The worker of the steward's own runs is in the home of an endpoint, which shows what it counts.
    metrics: AbstractContextManager[None] = nullcontext()
    if WorkKind.KEEP not in kinds:
        metrics = worker_metrics(settings_in_force(), announce=lambda url: write_line(f"metrics at {url}/metrics"))
    try:
        with metrics:
            serve(settings, ledger, WorkerChoices(name, kinds, labels, slots), say=write_line)
    finally:
        ledger.close()
