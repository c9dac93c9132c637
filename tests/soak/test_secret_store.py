"""The encrypted file of secrets: thousands of killed writers, and every bit of a file flipped: `make soak`."""

import os
import random
from pathlib import Path

import pytest

from squire_pipelines.secrets.sealed import derive_key, new_salt, seal
from tests.support.secret_store_faults import CHEAP, accepted_flips, kill_writers, passphrase

KILLS = int(os.environ.get("SQUIRE_SOAK_KILLS", "5000"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))
FLIPS = 20_000


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_killed_writers_tear_and_lose_nothing(tmp_path: Path) -> None:
    report = kill_writers(tmp_path / "secrets.sealed", KILLS, SEED)
    print(f"seed {SEED}: {report.kills} kills, {report.acknowledged} acknowledged")  # noqa: T201 - the figure
    assert report.problems == []
    assert report.kills >= KILLS


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_no_flipped_bit_is_accepted() -> None:
    key = derive_key(passphrase().reveal(), new_salt(), CHEAP)
    assert list(accepted_flips(seal({"model-key": "v" * 60}, key), key, FLIPS, SEED)) == []
