"""How soon something follows from a delivery, by the real processes: `make bench-deliveries`.

A run is submitted by the sensor; the end of a pull request and an approval need no run. `SQUIRE_BENCH_DELIVERIES` is
how many deliveries of each of three kinds are sent (15, five minutes).
"""

import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.delivery_lag import measure
from tests.support.figures import Figure, percentile, report

COUNT = int(os.environ.get("SQUIRE_BENCH_DELIVERIES", "15"))
MAX_RUN_S = 7.0
MAX_EFFECT_S = 6.0


def main() -> int:
    """Print the table."""
    lag = measure(COUNT)
    effects = (*lag.outcome_s, *lag.approval_s)
    figures = [
        Figure("received to run submitted: p50", statistics.median(lag.run_s), "s"),
        Figure("received to run submitted: p95", percentile(lag.run_s, 0.95), "s", MAX_RUN_S),
        Figure("received to the outcome of a pull request: p95", percentile(lag.outcome_s, 0.95), "s"),
        Figure("received to an approval: p95", percentile(lag.approval_s, 0.95), "s"),
        Figure("received to an effect that needs no run: p50", statistics.median(effects), "s"),
        Figure("received to an effect that needs no run: p95", percentile(effects, 0.95), "s", MAX_EFFECT_S),
    ]
    return report("deliveries", figures)


if __name__ == "__main__":
    sys.exit(main())
