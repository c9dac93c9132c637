"""A server that takes a push and refuses its branch, as faults of the forge, and what becomes of the work."""

from typing import Any

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger import bulk, tasks
from squire_pipelines.ledger.attempts import Attempt
from tests.support.ledgers import decide
from tests.support.pipeline import Pipeline


def refused_push(branch: str, status: str | None, words: str) -> dict[str, Any]:
    """Return the fault by which a server says `words` and, of the branch, `status`; without one it says nothing of it.

    https://git-scm.com/docs/pack-protocol#_report_status
    """
    report = _packet("unpack ok\n") + (_packet(f"ng refs/heads/{branch} {status}\n") if status else "") + "0000"
    body = _packet(f"\x02{words}\n") + _packet(f"\x01{report}") + "0000"
    return {"status": 200, "body": body, "headers": {"content-type": "application/x-git-receive-pack-result"}}


def _packet(text: str) -> str:
    return f"{len(text) + 4:04x}{text}"


def refuse_pushes(pipeline: Pipeline, forge: ForgeProcess, attempt: Attempt) -> None:
    """Have a rule of the repository refuse pushes of the task's branch, until the faults are cleared."""
    branch = pipeline.read_task(attempt.task_id).branch
    words = f"error: GH013: Repository rule violations found for refs/heads/{branch}."
    fault = refused_push(branch, "push declined due to repository rule violations", words)
    forge.add_fault("git-receive-pack", times=1000, **fault)


def retried(pipeline: Pipeline, attempt: Attempt) -> Attempt:
    """Have a person try the attempt's task again, and return the next attempt."""
    with pipeline.ledger.write() as tx:
        decide(tx, attempt.task_id, bulk.retry(1))
    return pipeline.next_attempt(attempt)


def history(pipeline: Pipeline, attempt: Attempt) -> list[str]:
    """Return the reasons in the task's history."""
    with pipeline.ledger.read() as tx:
        return [event.reason for event in tasks.events(tx, attempt.task_id)]
