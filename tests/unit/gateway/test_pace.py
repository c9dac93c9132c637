"""The pace of a provider: so many calls at a time, so many in any minute."""

import pytest

from squire_pipelines.domain.provider_limits import ProviderLimits
from squire_pipelines.gateway.pace import Pace
from squire_pipelines.gateway.refusals import RefusalError


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.anyio
async def test_a_minute_has_room_for_so_many_calls_and_then_again() -> None:
    clock = Clock()
    pace = Pace(ProviderLimits(max_calls_per_minute=2), clock)
    for _ in range(2):
        async with pace.turn(may_wait=False):
            clock.now += 10
    assert pace.pause_s() == 40
    with pytest.raises(RefusalError) as refused:
        async with pace.turn(may_wait=False):
            pass
    assert refused.value.code == "provider_limit"
    clock.now += 40
    async with pace.turn(may_wait=False):
        assert pace.pause_s() == 10


@pytest.mark.anyio
async def test_a_call_that_may_not_wait_for_another_is_refused() -> None:
    pace = Pace(ProviderLimits(max_concurrent=1))
    async with pace.turn(may_wait=True):
        with pytest.raises(RefusalError):
            async with pace.turn(may_wait=False):
                pass
    async with pace.turn(may_wait=False):
        pass
