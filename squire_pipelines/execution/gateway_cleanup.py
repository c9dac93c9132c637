"""Gateway containers whose supervisor is gone: their call logs are kept, they and their volumes are removed."""

from collections.abc import Iterable

import docker

from squire_pipelines.agents import profile, reap
from squire_pipelines.execution.usage_recorder import call_log_folder, recover_calls
from squire_pipelines.gateway import container
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings


def bring_logs(settings: Settings, attempt_id: str, clients: Iterable[docker.DockerClient]) -> None:
    """Stop the attempt's gateway containers and copy their call logs. Raises EngineError, OSError."""
    for client in clients:
        container.bring_log(client, attempt_id, call_log_folder(settings, attempt_id))


def leftover_attempts(ledger: Ledger, client: docker.DockerClient) -> set[str]:
    """Return the attempts that have ended and still have a gateway container or volume. Raises EngineError."""
    names = {item.attempt_id for item in reap.list_containers(client, role=profile.ROLE_GATEWAY)}
    names |= set(container.list_volumes(client))
    if not names:
        return set()
    with ledger.read() as tx:
        return set(attempts.ended_ids(tx, sorted(names)))


def remove_leftovers(ledger: Ledger, settings: Settings, client: docker.DockerClient) -> int:
    """Remove gateway containers and volumes of ended attempts, after their calls were recorded.

    Returns:
        How many containers were removed.

    Raises:
        LedgerError, EngineError, OSError: Something could not be read or removed; the next time tries again.
    """
    ended = leftover_attempts(ledger, client)
    if not ended:
        return 0
    removed = 0
    for item in reap.list_containers(client, role=profile.ROLE_GATEWAY):
        if item.attempt_id in ended:
            bring_logs(settings, item.attempt_id, [client])
            with ledger.read() as tx:
                attempt = attempts.get(tx, item.attempt_id)
            recover_calls(ledger, settings, attempt)
            if reap.remove(client, item.name, attempt_id=item.attempt_id):
                removed += 1
                with ledger.write() as tx:
                    detail = {"repository": attempt.repository, "purpose": "gateway"}
                    record_audit(
                        tx,
                        actor="recovery",
                        action="container.stopped",
                        subject=item.attempt_id,
                        trace_id=attempt.trace_id,
                        detail=detail,
                    )
    for attempt_id in container.list_volumes(client):
        if attempt_id in ended:
            container.remove_volume(client, attempt_id)
    return removed
