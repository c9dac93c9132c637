"""Containers of gateways whose supervisor is gone: call logs brought, they and their volumes removed. No Dagster."""

from collections.abc import Iterable

import docker

from squire_pipelines.agents import profile, reap
from squire_pipelines.execution import gateway_session
from squire_pipelines.gateway import container
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings import Settings


def bring_logs(settings: Settings, attempt_id: str, clients: Iterable[docker.DockerClient]) -> None:
    """End what gateways the attempt has in containers, and bring their call logs. Raises EngineError, OSError."""
    for client in clients:
        container.bring_log(client, attempt_id, gateway_session.log_folder(settings, attempt_id))


def remove_left(ledger: Ledger, settings: Settings, client: docker.DockerClient) -> int:
    """Remove gateways' containers and volumes of attempts that have ended, their calls recovered first; how many.

    Raises LedgerError, EngineError, OSError.
    """
    found = reap.list_containers(client, role=profile.ROLE_GATEWAY)
    shared = container.volumes(client)
    if not found and not shared:
        return 0
    with ledger.read() as tx:
        over = attempts.ended_ids(tx, [*(each.attempt_id for each in found), *shared])
        ended = {each: attempts.get(tx, each) for each in over}
    removed = 0
    for each in found:
        if each.attempt_id in ended:
            bring_logs(settings, each.attempt_id, [client])
            gateway_session.recover(ledger, settings, ended[each.attempt_id])
            removed += reap.remove(client, each.name, attempt_id=each.attempt_id)
    for attempt_id in shared:
        if attempt_id in ended:
            container.remove_volume(client, attempt_id)
    return removed
