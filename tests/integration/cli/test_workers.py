"""`squire workers`: what people see of the workers, and that one is drained."""

import pytest

from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.workers import WorkerRecord
from tests.support.cli import SampleData, Squire

RECORD = WorkerRecord(
    name="build-3",
    session="s",
    host="box:/var/lib/squire",
    pid=7,
    version="1.2.3",
    schema_revision="0042",
    queues=("worker.build-3", "agent", "agent+gpu"),
    labels=("gpu",),
    slots=3,
)


def test_workers_are_listed_shown_and_drained(squire: Squire, samples: SampleData) -> None:
    assert "There are no workers" in squire.ok("workers", "list")
    with samples.ledger.write() as tx:
        workers.register(tx, RECORD, lost_after_s=30)
        worker_runs.take(tx, "run", worker="build-3", session="s", queue="agent")
    (row,) = squire.json("workers", "list")
    assert (row["name"], row["state"], row["running"], row["queues"]) == ("build-3", "live", 1, ["agent", "agent+gpu"])
    assert "1/3" in squire.ok("workers", "list")
    assert "box:/var/lib/squire" in squire.ok("workers", "show", "build-3")
    assert "1 are under way" in squire.ok("workers", "drain", "build-3")
    assert squire.json("workers", "show", "build-3")["state"] == "draining"
    (entry,) = samples.read(audit_page, limit=10, action="worker.*")
    assert (entry.action, entry.subject) == ("worker.drained", "build-3")
    assert squire("workers", "show", "nobody").exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--label", "GPU"), "small letters"),
        (("--name", "a/b"), "begins with a letter"),
        (("--queue", "night"), "not one of"),
    ],
)
def test_a_worker_is_not_started_with_what_cannot_be(squire: Squire, words: tuple[str, ...], message: str) -> None:
    refused = squire("worker", *words)
    assert refused.exit_code == 2
    assert message in refused.output


def test_a_worker_needs_a_broker_and_a_ledger_that_machines_share(
    squire: Squire, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = squire("worker")
    assert (refused.exit_code, "no broker is set" in refused.output) == (3, True)
    monkeypatch.setenv("SQUIRE_WORKERS__BROKER_URL", "redis://127.0.0.1:1/0")
    refused = squire("worker")
    assert (refused.exit_code, "SQLite" in refused.output) == (3, True)
