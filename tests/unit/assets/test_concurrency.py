import asyncio

import pytest

from squire_pipelines.assets.concurrency import gather_bounded


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
