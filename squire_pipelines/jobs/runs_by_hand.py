"""What the jobs have in common that people launch in Dagster's UI: who did it, why, and how a run says what it did."""

import re
from collections.abc import Sequence

import dagster as dg

from squire_pipelines.errors import SquireError
from squire_pipelines.jobs.run_queue import BY_HAND
from squire_pipelines.process_setup import user_name

MAX_NAMES = 500
MAX_REASON = 500
KIND = {"kind": "sql"}
PERSON = (
    "Who you are, for the audit trail and the task's history: letters, digits and .@+_-. "
    "By default the user that Dagster runs as."
)
_NAME = re.compile(r"[A-Za-z0-9.@+_-]{1,50}")
# People wait for it: in Dagster's queue it goes before all else, and has places that nothing else takes.
_RUN_TAGS = {"dagster/max_runtime": "300", "dagster/priority": "100", **BY_HAND}


def job_by_hand(op: dg.OpDefinition, name: str, *, command: str, description: str) -> dg.JobDefinition:
    """Return the job of one op, which says which `squire` command does the same."""

    @dg.job(
        name=name,
        description=description,
        executor_def=dg.in_process_executor,
        tags=_RUN_TAGS,
        metadata={"command": dg.MetadataValue.md(f"`{command}`")},
    )
    def launched_by_people() -> None:
        op()

    return launched_by_people


def failure_of(error: SquireError) -> dg.Failure:
    """Return the failure of a run whose command would end with an error."""
    hint = {"next_step": error.hint} if error.hint else {}
    return dg.Failure(f"{error}", metadata=hint, allow_retries=False)


def named_things(texts: Sequence[str], field: str) -> tuple[str, ...]:
    """Return the names of a list in the run's config, each once. Raises Failure for none, or too many."""
    names = tuple(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))
    if not 1 <= len(names) <= MAX_NAMES:
        raise dg.Failure(
            f"`{field}` of the run's config has {len(names)} names: between 1 and {MAX_NAMES} are needed",
            allow_retries=False,
        )
    return names


def reason_of(text: str) -> str:
    """Return a reason in one line. Raises Failure for one that is too long."""
    reason = " ".join(text.split())
    if len(reason) > MAX_REASON:
        raise dg.Failure(
            f"`reason` of the run's config has {len(reason)} characters, and {MAX_REASON} are possible",
            allow_retries=False,
        )
    return reason


def actor_of(person: str) -> str:
    """Return how the records name the person. Raises Failure for a name with other characters than a name has."""
    name = person.strip() or user_name()
    if person.strip() and not _NAME.fullmatch(name):
        raise dg.Failure(
            f"`person` of the run's config is no name: up to 50 letters, digits and .@+_- are, not {name[:60]!r}",
            allow_retries=False,
        )
    return f"dagster:{name}"[:60]


def by_whom(actor: str, trace_id: str) -> dict[str, dg.MetadataValue]:
    """Return as what person a run did it, and by which trace."""
    return {"by": dg.MetadataValue.text(actor), **trace_shown(trace_id)}


def trace_shown(trace_id: str) -> dict[str, dg.MetadataValue]:
    """Return the trace of a run, and the command that shows all of it."""
    return {"trace_id": dg.MetadataValue.text(trace_id), "trace": dg.MetadataValue.md(f"`squire trace {trace_id}`")}
