"""The audit trail is sealed while the pipeline runs."""

from squire_pipelines.ledger.audit_sealing import ROWS_PER_BATCH, chain_head
from squire_pipelines.sensors.audit import seal_audit
from tests.support.audit_trail import add_rows, verdict_of
from tests.support.pipeline import Pipeline


def test_new_rows_are_sealed_and_the_newest_digest_is_told_outside_of_the_ledger(quiet_pipeline: Pipeline) -> None:
    waiting = "nothing has waited for long enough to be sealed"
    assert quiet_pipeline.sensor(seal_audit).skip_message == waiting
    add_rows(quiet_pipeline.ledger, 3)
    assert quiet_pipeline.sensor(seal_audit).skip_message == waiting
    add_rows(quiet_pipeline.ledger, ROWS_PER_BATCH - 3)
    tick = quiet_pipeline.sensor(seal_audit)
    with quiet_pipeline.ledger.read() as tx:
        assert chain_head(tx).digest in tick.skip_message
    assert (verdict_of(quiet_pipeline.ledger).rows, verdict_of(quiet_pipeline.ledger).unsealed) == (ROWS_PER_BATCH, 0)
