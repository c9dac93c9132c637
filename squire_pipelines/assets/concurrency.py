"""Doing the same for many repositories at once, where one's failure must not take the others' work away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable


async def gather_bounded(names: Iterable[str], work: Callable[[str], Awaitable[None]], *, at_once: int) -> None:
    """Await `work` for each name, at most `at_once` at a time; all have ended before an error is raised.

    Raises:
        Exception: The first one's, with a note that names its repository and how many others failed.
    """
    places = asyncio.Semaphore(at_once)

    async def one(name: str) -> None:
        async with places:
            await work(name)

    wanted = list(dict.fromkeys(names))
    ends = await asyncio.gather(*(one(name) for name in wanted), return_exceptions=True)
    failed = [(name, end) for name, end in zip(wanted, ends, strict=True) if isinstance(end, BaseException)]
    if failed:
        name, error = failed[0]
        error.add_note(f"at {name}; {len(failed)} of {len(wanted)} repositories failed")
        raise error
