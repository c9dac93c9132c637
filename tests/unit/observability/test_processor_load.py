"""How many processors there are for this process, and how busy the machine is."""

import os
from pathlib import Path

import pytest

from squire_pipelines.observability.processor_load import parse_quota, read_load, usable_processors


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("", None),
        ("100000", None),
        ("1 0", None),
        ("x y", None),
        ("² 1", None),
    ],
)
def test_a_quota_is_read_from_what_the_kernel_writes(text: str, quota: float | None) -> None:
    assert parse_quota(text) == quota


def test_a_quota_bounds_the_processors_and_leaves_one(tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    unbound = usable_processors(quota_file=file)  # there is none
    assert unbound >= 1
    file.write_text("10000 100000\n")
    assert usable_processors(quota_file=file) == 1
    file.write_text("max 100000\n")
    assert usable_processors(quota_file=file) == unbound


def test_the_load_is_that_of_the_last_minute_by_all_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000\n")
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 1.0, 1.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    load = read_load(quota_file=quota)
    assert (load.processors, load.crowding) == (1, 1.5)
