"""The demo told to end at moments that nobody chose, again and again, on one home: `make soak`.

Each round sends SIGINT, SIGTERM or SIGHUP at a random moment of a demo of one task, and every second round another one
while it closes. Nothing of it may be left, and the next start goes on. `SQUIRE_SOAK_MOMENTS` sets how many (50),
`SQUIRE_SOAK_SEED` repeats a sequence. `make test` does so at two moments.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.demos import StartDemo, check_what_it_left, left_of, one_task

MOMENTS = int(os.environ.get("SQUIRE_SOAK_MOMENTS", "50"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_S = float(os.environ.get("SQUIRE_SOAK_LONGEST_S", "40"))
CLOSES_WITHIN_S = 60.0
AT_ITS_START = {-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}
"""Before the demo has started anything, a signal ends it as it ends any program."""


@pytest.mark.soak
@pytest.mark.timeout(120 * MOMENTS + 600)
def test_whenever_it_is_interrupted_it_leaves_nothing_and_goes_on(start_demo: StartDemo, tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a sequence that can be repeated
    print(f"seed {SEED}")  # noqa: T201 - to repeat it
    work = one_task(tmp_path, agent="sleep 1; sort -o a.txt a.txt")
    begun = time.monotonic()
    start_demo(*work).ends_well()
    length_s = min(LONGEST_S, time.monotonic() - begun)
    wrong: list[str] = []
    for turn in range(MOMENTS):
        demo = start_demo(*work)
        number, moment_s, again_s = chance.choice(SIGNALS), chance.uniform(0, length_s), chance.uniform(0, 4)
        was_running = _tell(demo.process, number, moment_s)
        if turn % 2:
            _tell(demo.process, chance.choice(SIGNALS), again_s)
        try:
            code = demo.process.wait(CLOSES_WITHIN_S)
        except subprocess.TimeoutExpired:
            wrong.append(f"{turn}: {number.name} at {moment_s:.2f} s: not ended after {CLOSES_WITHIN_S:.0f} s")
            demo.kill_all()
            continue
        left = left_of(demo)
        when = f"at {moment_s:.2f} s{'' if was_running else ', over before'}"
        print(f"{turn}: {number.name} {when}: exit {code} {left or ''}")  # noqa: T201 - what there is to see of it
        if left or code not in {0, 130, *AT_ITS_START}:
            wrong.append(f"{turn}: {number.name} at {moment_s:.2f} s: exit {code}, left {left}\n{demo.tail()}")
    assert wrong == [], "\n".join(wrong)
    last = start_demo(*work)
    last.ends_well()
    check_what_it_left(last, tmp_path, pull_requests=1, follow_ups=0)
    assert left_of(last) == []


def _tell(process: "subprocess.Popen[bytes]", number: signal.Signals, after_s: float) -> bool:
    """Send a signal after so many seconds; return whether the process still ran."""
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    process.send_signal(number)
    return True
