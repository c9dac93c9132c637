"""A person's request becomes a task at once, whether it was written at a terminal or on the board."""

from dataclasses import dataclass

from sqlalchemy import func, select

from squire_pipelines.domain.duplicates import KnownWork
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.requests import create_request, resembled_by
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import collections
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The task of a request, and what it says nearly the same as."""

    task: Task
    resembles: tuple[KnownWork, ...] = ()


def known_repository(tx: Transaction, settings: Settings, repository: str, *, config: object) -> str:
    """Return the repository's name as Squire writes it, since GitHub takes any case.

    Args:
        tx: A transaction.
        settings: The settings.
        repository: As a person writes it.
        config: The file that a hint names.

    Raises:
        ConfigError: It is none of Squire's.
    """
    for known in settings.repositories:
        if known.lower() == repository.lower():
            return known
    seen = tx.execute(
        select(collections.c.repository).where(func.lower(collections.c.repository) == repository.lower()).limit(1)
    ).scalar_one_or_none()
    if seen is None:
        message = f"{repository} is not one of Squire's repositories"
        raise ConfigError(message, hint=f"add it to `repositories` in {config}")
    return str(seen)


def make_request(
    ledger: Ledger, general: Settings, request: RequestedTask, *, hold: bool, compare: bool = True
) -> RequestResult:
    """Create the task of a request.

    Args:
        ledger: The ledger.
        general: The settings, to which the repository's own file is added.
        request: What is asked for.
        hold: Whether it is to wait until a person starts it.
        compare: Whether it is looked for what the request resembles.

    Raises:
        ConfigError, NotFoundError, RefusedError: Nothing is written then.
    """
    settings = settings_in(ledger, general, request.repository)
    trace_id = new_trace_id()
    with bound_context(trace_id=trace_id), ledger.write() as tx:
        resembles = resembled_by(tx, settings, request.repository, request.spec) if compare else ()
        created = create_request(tx, settings, request, trace_id=trace_id, hold=hold)
        return RequestResult(tasks.get(tx, created.id), resembles)
