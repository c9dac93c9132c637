"""What a ledger of the second released schema held beside the rows of `ledger_0001`, as its code wrote it.

`fill` is never changed to suit later code; a later revision gets a module of its own.
"""

from squire_pipelines.ledger.store import Transaction
from tests.support.ledger_0001 import SPEC, TRACE, at, insert

# id, status, the hour of its end, title, and the title's words as that code split them
TASKS = (
    ("t00000000000011", "ready", None, "Ärger in der Straße, it's", ("ärger", "in", "der", "strasse", "it", "s")),
    ("t00000000000012", "failed", 18, "Fix src/foo_bar: 1e5 of 4", ("fix", "src", "foo", "bar", "1e5", "of", "4")),
    ("t00000000000013", "cancelled", 19, "?!", ()),
    ("t00000000000014", "ready", None, "and OR not", ("and", "or", "not")),
)  # fmt: skip


def fill(tx: Transaction) -> None:
    """Put rows of each kind into the tables that revision 0002 added, and tasks with their words."""
    for number, (task, status, ended, title, words) in enumerate(TASKS):
        insert(
            tx,
            "tasks",
            {"id": task, "repository": "acme/api", "status": status, "kind": "manual", "title": title,
             "priority": number % 4, "fingerprint": f"{number:064}", "spec": SPEC, "branch": f"squire/{task}",
             "base_branch": "main", "plan_id": None, "attempts": 0, "max_attempts": 3, "not_before": None,
             "cancel_requested_at": None, "cause": "agent_error" if status == "failed" else None, "message": None,
             "trace_id": TRACE, "created_at": at(17), "ready_at": at(17), "ended_at": at(ended),
             "updated_at": at(ended or 17)},
        )  # fmt: skip
        steps = [(None, "ready"), *([("ready", "running")] * (status == "failed"))]
        if ended:
            steps.append((steps[-1][1], status))
        insert(
            tx,
            "task_events",
            *({"task_id": task, "attempt_id": None, "subject": "task", "before": before, "after": after,
               "actor": "test", "reason": "so it was", "trace_id": TRACE, "at": at(17)} for before, after in steps),
        )  # fmt: skip
        insert(
            tx,
            "task_words",
            *({"word": word, "priority": number % 4, "created_at": at(17), "task_id": task, "repository": "acme/api",
               "kind": "manual"} for word in words),
        )  # fmt: skip
    insert(
        tx,
        "budgets",
        {"id": "a1", "purpose": "attempt", "repository": "acme/shop", "task_id": TASKS[0][0], "attempt_id": "a1",
         "reserved_usd": 1.5, "reserved_tokens": 10, "spent_usd": 0.5, "spent_tokens": 5, "spent_requests": 1,
         "state": "settled", "opened_at": at(17), "checked_at": None, "settled_at": at(18), "trace_id": TRACE,
         "updated_at": at(18)},
    )  # fmt: skip
    insert(
        tx,
        "archived_tasks",
        {"id": "t00000000000000", "repository": "acme/shop", "fingerprint": "f" * 64, "kind": "manual", "title": "Old",
         "status": "failed", "cause": "timeout", "attempts": 1, "cost_usd": 0.1, "branch": "squire/x",
         "pr_number": None, "pr_url": None, "outcome": None, "trace_id": TRACE, "created_at": at(1), "ended_at": at(2),
         "archived_at": at(20), "archive": "tasks.parquet", "updated_at": at(20)},
    )  # fmt: skip
    insert(
        tx,
        "archives",
        {"name": "tasks.parquet", "table_name": "tasks", "rows": 1, "bytes": 99, "sha256": "0" * 64, "first_at": at(1),
         "last_at": at(1), "created_at": at(20)},
    )  # fmt: skip
