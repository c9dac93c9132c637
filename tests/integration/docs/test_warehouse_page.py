"""The warehouse's reference says what the warehouse says of itself."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_reference_of_the_warehouse_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "warehouse_reference.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
