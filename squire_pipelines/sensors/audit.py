"""The sensor `seal_audit`: completes the audit trail about once a minute, and seals it. It requests no run.

A run would cost seconds where this is a query, and most of the time finds nothing to seal.
"""

from datetime import timedelta

import dagster as dg

from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.sensors.ticks import counted_ticks

_INTERVAL_S = 60
_BATCHES_PER_TICK = 20
_WAIT = timedelta(minutes=10)
_SHOWN = 20
_ACTOR = "sensor:seal_audit"


@dg.sensor(
    name="seal_audit",
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Chains new rows of the audit trail, so that later changes of them are found.",
    tags={"squire/part": "audit"},
)
@counted_ticks("seal_audit")
def seal_audit(context: dg.SensorEvaluationContext, settings: SettingsParam, ledger: LedgerParam) -> dg.SkipReason:
    """Record too what no transaction tells: changed settings, and which secrets the sensors' process has read.

    The newest digest stands in the tick and in the log: outside of the ledger.
    """
    from squire_pipelines.ledger import audit_sealing
    from squire_pipelines.ledger.settings_changes import notice_changed_settings
    from squire_pipelines.observability.secret_uses import EVERY_S, record_secret_uses

    record_secret_uses(ledger, actor=_ACTOR, every_s=EVERY_S)
    values = settings.model_dump(mode="json", exclude_unset=True)
    with ledger.write() as tx:
        changed = notice_changed_settings(tx, values, actor=_ACTOR, trace_id=None)
    if changed:
        context.log.info(f"settings changed: {', '.join(changed[:_SHOWN])}")
    sealed = audit_sealing.seal(ledger, batches=_BATCHES_PER_TICK, wait=_WAIT)
    if not sealed:
        return dg.SkipReason("nothing has waited for long enough to be sealed")
    with ledger.read() as tx:
        head = audit_sealing.chain_head(tx)
    context.log.info(f"audit trail: batch {head.batch} has the digest {head.digest}")
    return dg.SkipReason(f"{sealed} rows were sealed; the newest digest is {head.digest}")
