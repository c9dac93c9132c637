"""The worker's image built a second time without any cache, which downloads everything again: `make soak`."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.soak
@pytest.mark.docker
@pytest.mark.timeout(1900)
def test_a_second_build_without_a_cache_has_the_same_files() -> None:
    subprocess.run([ROOT / "scripts" / "images.sh", "worker"], check=True, timeout=900)
    command = [str(ROOT / "scripts" / "image-diff.sh"), "--rebuild"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "the same" in done.stdout
