"""Plans over several repositories, of which each task comes into the ledger by the rules of its own repository.

They are kept among the others, under the name of their group. See `plans`.
"""

from collections.abc import Collection, Mapping

from squire_pipelines.domain.duplicates import leave_out_known
from squire_pipelines.domain.plans import AdmissionRule
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.plans import latest, mark_admitted, to_admit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_creation import create_from_plan


def never_planned(tx: Transaction, subjects: Collection[str]) -> tuple[str, ...]:
    """Return which groups, by the names under which their plans are kept, have no plan yet."""
    return tuple(subject for subject in subjects if latest(tx, subject) is None)


def admit_group(
    tx: Transaction, plan_id: str, *, rules: Mapping[str, AdmissionRule], duplicate_days: float
) -> tuple[str, ...]:
    """Create the tasks of a group's plan that passed its checks, once. Returns the ids of the new tasks.

    What repeats work of its repository that came into the ledger since the plan was made is left out, and stored as
    such. See `plans.admit`.

    Args:
        tx: A transaction that writes.
        plan_id: Of the plan.
        rules: By repository, for each that the plan has a task of.
        duplicate_days: How long ended tasks are compared.
    """
    saved = to_admit(tx, plan_id)
    if saved is None:
        return ()
    known = {name: known_work(tx, name, days=duplicate_days) for name in rules}
    plan = leave_out_known(saved.plan, known)
    created = create_from_plan(tx, plan, plan_id=plan_id, versions={}, rules=rules, trace_id=saved.trace_id)
    mark_admitted(tx, plan_id, plan, created)
    return created
