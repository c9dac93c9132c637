"""The encrypted file of secrets and the migration under faults, and what secrets cost: `make bench-secrets`.

`SQUIRE_BENCH_KILLS` and `SQUIRE_BENCH_FLIPS` set how many writers are killed (3,000) and bits are flipped (10,000).
Half as many migrations and rollbacks are killed, by turns in each of their steps.
The commands are timed as whole processes from a cold start, beside Python that does nothing.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keyring
import keyring.backends.fail

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.secrets.sealed import KdfCost, derive_key, new_salt, open_sealed, parse, seal
from tests.support.figures import Figure, by_turns, report, seconds
from tests.support.old_homes import kill_migrations
from tests.support.secret_store_faults import CHEAP, accepted_flips, kill_writers, passphrase

KILLS = int(os.environ.get("SQUIRE_BENCH_KILLS", "3000"))
FLIPS = int(os.environ.get("SQUIRE_BENCH_FLIPS", "10000"))
SEED = 20
RUNS = 10
SQUIRE = str(Path(sys.executable).with_name("squire"))
VALUES = {"github-token": "t" * 40, "webhook-secret": "w" * 64, "model-key": "m" * 100}


def open_once(data: bytes) -> None:
    """Open a file as a process does that has its passphrase."""
    sealed = parse(data, "the file")
    open_sealed(sealed, derive_key(passphrase().reveal(), sealed.salt, sealed.cost), "the file")


def run(home: Path, command: Sequence[str]) -> None:
    """Run a command in a home whose machine has no keychain."""
    environment = {
        **os.environ,
        "SQUIRE_HOME": str(home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


def main() -> int:
    """Measure and report."""
    dear = derive_key(passphrase().reveal(), new_salt(), KdfCost())
    cheap = derive_key(passphrase().reveal(), new_salt(), CHEAP)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        faults = home / "faults"
        faults.mkdir()
        kills = kill_writers(faults / "secrets.sealed", KILLS, SEED)
        keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]  # the library's
        migrations = kill_migrations(home / "migrations", KILLS // 2, SEED)
        flips = list(accepted_flips(seal(VALUES, cheap), cheap, FLIPS, SEED))
        store = home / "secrets.sealed"
        store.write_bytes(seal(VALUES, dear))
        store.chmod(0o600)
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "help": [SQUIRE, "--help"],
            "list": [SQUIRE, "secrets", "list"],
        }
        measures = {name: partial(seconds, partial(run, home, command)) for name, command in commands.items()}
        measures["open"] = partial(seconds, partial(open_once, store.read_bytes()))
        taken = by_turns(measures, RUNS)
    for problem in (*kills.problems, *migrations.problems, *flips):
        print(problem)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return report(
        "secrets",
        [
            Figure("killed writers", kills.kills, "kills", KILLS, at_least=True),
            Figure("killed migrations and rollbacks", migrations.kills, "kills", KILLS // 2, at_least=True),
            Figure("changes that they had acknowledged", kills.acknowledged, "changes"),
            Figure("torn or lost states after a kill", len(kills.problems), "states", 0),
            Figure("states of a migration torn, lost, or plain and gone", len(migrations.problems), "states", 0),
            Figure("flipped bits, each also with a checksum made to fit", FLIPS, "bits", FLIPS, at_least=True),
            Figure("flipped bits that were accepted", len(flips), "bits", 0),
            Figure("opening the file at the default cost, median", medians["open"], "s", 0.6),
            Figure("squire secrets list, median", medians["list"], "s", 0.3),
            Figure("squire --help, median", medians["help"], "s", 0.15),
            Figure("python -c pass, median", medians["bare"], "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
