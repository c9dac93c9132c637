"""The reference pages of the settings and of the doctor's checks are what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["settings", "doctor"])
def test_the_page_of_the_reference_is_up_to_date(name: str) -> None:
    script = ROOT / "scripts" / f"{name}_reference.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
