"""What a worker does about agents' Jobs in a cluster: which attempts run there, and what belongs to nobody any more."""

from squire_pipelines.agents.kubernetes.api import connect
from squire_pipelines.agents.kubernetes.leftovers import list_jobs, remove
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.settings.model import Settings


def tend_jobs(ledger: Ledger, settings: Settings) -> frozenset[str]:
    """Remove the Jobs of attempts that have ended; return the attempts whose pods have begun.

    An attempt that this ledger does not know is another Squire's in the same namespace, and not ours to judge.

    Raises:
        ConfigError: There is no way to the cluster.
        EngineError, ClusterRefusalError: Its API server does not answer, or refuses.
    """
    with connect(settings.kubernetes) as api:
        jobs = list_jobs(api)
        with ledger.read() as tx:
            ended = attempts.ended_ids(tx, [job.attempt_id for job in jobs])
        removed = [job.name for job in jobs if job.attempt_id in ended and remove(api, job)]
    if removed:
        metrics.count(families.CONTAINERS_ORPHANED, amount=len(removed))
        with ledger.write() as tx:
            for name in removed:
                record_audit(tx, actor="recovery", action="container.stopped", subject=name, trace_id=None)
    return frozenset(job.attempt_id for job in jobs if job.has_begun and job.attempt_id not in ended)
