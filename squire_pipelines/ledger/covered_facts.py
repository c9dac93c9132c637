"""Which facts need no task, and why: one is under way, no more may be made, or a no stands."""

from collections.abc import Sequence

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.covered import CoveredBy, CoveredFact
from squire_pipelines.domain.signals import Signal
from squire_pipelines.ledger.plan_retries import replaceable_tasks
from squire_pipelines.ledger.refusals import asked_again
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_signals import worked_on
from squire_pipelines.ledger.tasks import answering_tasks


def covered_facts(
    tx: Transaction, repository: str, signals: Sequence[Signal], *, times: int, rules: TrustRules
) -> dict[str, CoveredFact]:
    """Return the facts that need no task, by ref.

    A task that the next plan of a model replaces does not count.

    Args:
        tx: Reads.
        repository: `owner/name`.
        signals: All of the repository.
        times: How many tasks may be made of one fact as it is.
        rules: Who may ask again after a no.
    """
    without = replaceable_tasks(tx, repository)
    waiting, _ = asked_again(tx, repository, signals, rules)
    worked = worked_on(tx, repository, signals, times=times, without=without)
    return {
        **{ref: CoveredFact(CoveredBy.TIMES) for ref in worked},
        **{ref: CoveredFact(CoveredBy.CLOSED, closed.task_id) for ref, closed in waiting.items()},
        **{
            ref: CoveredFact(CoveredBy.TASK, task_id)
            for ref, task_id in answering_tasks(tx, repository, without=without).items()
        },
    }
