"""Many histories of a ledger; tests/integration/warehouse/test_incremental.py has the short version."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.publications import HAPPENINGS, published_as_it_happens

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@settings(max_examples=200, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(HAPPENINGS, min_size=4, max_size=25))
def test_two_hundred_histories_give_what_reading_everything_gives(happened: list[tuple[str, int]]) -> None:
    grown, new = published_as_it_happens(happened)
    assert grown == new
