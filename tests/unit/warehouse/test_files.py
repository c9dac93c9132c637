"""The pure part of the warehouse's file: how often it may be written."""

import pytest

from squire_pipelines.warehouse.files import least_interval_s


@pytest.mark.parametrize(("size", "seconds"), [(0, 5), (100, 5), (5 * 2**20, 5), (320 * 2**20, 10), (4 * 2**30, 128)])
def test_interval_grows_with_the_size(size: int, seconds: float) -> None:
    assert least_interval_s(size, min_interval_s=5, write_rate=32 * 2**20) == seconds
