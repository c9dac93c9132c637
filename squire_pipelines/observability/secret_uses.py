"""Records in the audit trail which secrets this process has read and changed, as rows with counts."""

import time

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets import uses

EVERY_S = 300.0
"""A process that goes on records its reads this often; before it ends, it records what is left."""

_log = get_logger(Component.PIPELINE)


class _Recorder:
    """When this process recorded last."""

    recorded: float | None = None


_this_process = _Recorder()


def record_secret_uses(ledger: Ledger, *, actor: str, trace_id: str | None = None, every_s: float = 0) -> int:
    """Record what was counted since the last time, a row for each secret, place and purpose; return how many rows.

    What cannot be recorded now is counted on, and logged: no work fails because of it.

    Args:
        ledger: Where to.
        actor: Whose process this is.
        trace_id: Of what it was part of, where the process does one thing.
        every_s: Do nothing when the process recorded less than so many seconds ago.
    """
    now = time.monotonic()
    if not uses.has_uses() or (_this_process.recorded is not None and now - _this_process.recorded < every_s):
        return 0
    taken = uses.take_uses()
    try:
        with ledger.write() as tx:
            for counted in taken:
                use = counted.use
                record_audit(
                    tx,
                    actor=actor,
                    action=f"secret.{use.kind}",
                    subject=use.name,
                    trace_id=trace_id,
                    detail={
                        "from": use.origin,
                        "for": use.purpose,
                        "count": counted.count,
                        "since": counted.since.isoformat(),
                    },
                )
    except LedgerError as error:
        uses.put_back(taken)
        _log.warning("uses of secrets are not in the audit trail yet", reason=str(error), uses=len(taken))
        return 0
    _this_process.recorded = now
    return len(taken)
