"""Large requests wait for each other, so that all of them together have a bound in memory."""

import asyncio
import random

from squire_pipelines.gateway.body_budget import BodyBudget, BodyShare


def test_bodies_never_have_more_than_the_total_and_all_get_their_turn() -> None:
    async def run() -> None:
        budget = BodyBudget(100)
        generator = random.Random(7)  # noqa: S311 - not for secrets
        greatest = 0

        async def call(size: int) -> None:
            nonlocal greatest
            await budget.take(size)
            greatest = max(greatest, budget.used)
            await asyncio.sleep(0)
            budget.release(size)

        await asyncio.gather(*(call(generator.randrange(1, 150)) for _ in range(200)))
        assert greatest == 100
        assert budget.used == 0

    asyncio.run(run())


def test_a_large_body_is_not_overtaken_for_ever() -> None:
    async def run() -> list[str]:
        budget = BodyBudget(100)
        order: list[str] = []

        async def call(name: str, size: int) -> None:
            await budget.take(size)
            order.append(name)

        await budget.take(60)
        waiting = [asyncio.ensure_future(call("large", 90)), asyncio.ensure_future(call("small", 10))]
        await asyncio.sleep(0)
        budget.release(60)
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(run()) == ["large", "small"]


def test_a_call_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    async def run() -> int:
        budget = BodyBudget(100)
        await budget.take(100)
        first, second, third = (asyncio.ensure_future(budget.take(60)) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        budget.release(100)  # the turn comes to the second at once
        second.cancel()  # and it is gone in the same moment
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert third.done()
        assert not third.cancelled()
        budget.release(60)
        return budget.used

    assert asyncio.run(run()) == 0


def test_small_bodies_ask_nobody_and_a_share_is_given_back_once() -> None:
    async def run() -> None:
        budget = BodyBudget(100)
        share = BodyShare(budget, free=10)
        await share.reserve(10, 80)
        assert budget.used == 0
        await share.reserve(11, 80)
        await share.reserve(50, 80)
        assert budget.used == 80
        share.release()
        share.release()
        assert budget.used == 0

    asyncio.run(run())
