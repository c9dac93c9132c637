"""The sensor `seal_audit`: seals new rows of the audit trail about once a minute. It requests no run.

A run would cost seconds where this is a query, and most of the time finds nothing to seal.
"""

import dagster as dg

from squire_pipelines.resources.parameters import LedgerParam

_INTERVAL_S = 60
_BATCHES_PER_TICK = 20


@dg.sensor(
    name="seal_audit",
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Chains new rows of the audit trail, so that later changes of them are found.",
    tags={"squire/part": "audit"},
)
def seal_audit(context: dg.SensorEvaluationContext, ledger: LedgerParam) -> dg.SkipReason:
    """The newest digest stands in the tick and in the log: outside of the ledger."""
    from squire_pipelines.ledger import audit_sealing

    sealed = audit_sealing.seal(ledger, batches=_BATCHES_PER_TICK)
    if not sealed:
        return dg.SkipReason("nothing is unsealed")
    with ledger.read() as tx:
        head = audit_sealing.chain_head(tx)
    context.log.info(f"audit trail: batch {head.batch} has the digest {head.digest}")
    return dg.SkipReason(f"{sealed} rows were sealed; the newest digest is {head.digest}")
