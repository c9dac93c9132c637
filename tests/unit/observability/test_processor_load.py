"""How many processors there are for this process, and how busy the machine is."""

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


def test_the_load_is_told(tmp_path: Path) -> None:
    load = read_load(quota_file=tmp_path / "none")
    assert load.processors >= 1
    assert load.crowding >= 0
