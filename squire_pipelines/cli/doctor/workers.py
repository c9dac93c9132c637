"""The check of the queue and its workers, where runs go to several machines."""

from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import SquireError
from squire_pipelines.ledger import HEAD_REVISION


def check_workers(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the broker takes runs, and that workers live that take those of each agent."""
    settings = context.settings
    if not settings.is_shared:
        return
    from squire_pipelines.domain.worker_rules import WorkerState  # noqa: PLC0415 - not on one machine
    from squire_pipelines.execution.serving_workers import read_served  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger import workers  # noqa: PLC0415 - likewise
    from squire_pipelines.work_queue.broker import broker_app, check_broker  # noqa: PLC0415 - likewise

    try:
        settings.check_shared()
        check_broker(broker_app(settings))
    except SquireError as error:
        yield Diagnosis.of_error("workers", error)
        return
    with context.ledger.read() as tx:
        known = workers.read_all(tx, lost_after_s=settings.workers.lost_after_s)
    live = [worker.name for worker in workers.open_workers(known)]
    names = ", ".join(live) or "none"
    yield Diagnosis("workers", "ok" if live else "warn", f"the broker answers; live workers: {names}")
    for worker in known:
        if worker.state is WorkerState.REFUSED:
            step = f"install the version there whose schema is {HEAD_REVISION}, or start the steward's newer one first"
            yield Diagnosis("workers", "warn", f"{worker.name} takes no runs: {worker.refusal}", step)
    served = read_served(context.ledger, settings)
    agents = {agent.worker_labels: agent for agent in (settings.agent_for(*one) for one in settings.every_choice)}
    for agent in agents.values():
        if (problem := served.problem(agent)) is not None:
            yield Diagnosis("workers", "warn", problem.message, problem.hint)
