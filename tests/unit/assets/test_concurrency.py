import asyncio
from collections.abc import Sequence

import pytest

from squire_pipelines.assets.concurrency import Batches, gather_bounded


def test_one_that_fails_takes_nobodys_work_away() -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        if name == "b":
            raise ValueError("broken")
        done.append(name)

    with pytest.raises(ValueError, match="broken") as caught:
        asyncio.run(gather_bounded(["a", "b", "c"], work, limit=1))
    assert done == ["a", "c"]
    assert caught.value.__notes__ == ["at b; 1 of 3 repositories failed"]


def test_no_more_than_so_many_at_once_and_none_twice() -> None:
    running: set[str] = set()
    most = 0
    seen: list[str] = []

    async def work(name: str) -> None:
        nonlocal most
        running.add(name)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.remove(name)
        seen.append(name)

    asyncio.run(gather_bounded(["a", "b", "a", "c", "d"], work, limit=2))
    assert most == 2
    assert sorted(seen) == ["a", "b", "c", "d"]


def test_what_comes_in_one_turn_of_the_loop_is_handled_at_once_and_in_order() -> None:
    handled: list[Sequence[int]] = []

    async def run() -> None:
        batches = Batches[int](handled.append)
        await asyncio.gather(*(batches.add(number) for number in range(3)))
        await batches.add(3)

    asyncio.run(run())
    assert handled == [[0, 1, 2], [3]]


def test_each_whose_batch_failed_is_told_and_the_next_batch_is_handled() -> None:
    handled: list[int] = []

    def handle(numbers: Sequence[int]) -> None:
        if 1 in numbers:
            raise ValueError("no room")
        handled.extend(numbers)

    async def run() -> list[BaseException | None]:
        batches = Batches[int](handle)
        ended = await asyncio.gather(*(batches.add(number) for number in (1, 2)), return_exceptions=True)
        await batches.add(3)
        return ended

    assert [str(error) for error in asyncio.run(run())] == ["no room", "no room"]
    assert handled == [3]


def test_one_that_no_longer_waits_keeps_no_other_from_being_told() -> None:
    handled: list[int] = []

    async def run() -> None:
        batches = Batches[int](handled.extend)
        given_up = asyncio.create_task(batches.add(1))
        waiting = asyncio.create_task(batches.add(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await waiting

    asyncio.run(run())
    assert handled == [1, 2]
