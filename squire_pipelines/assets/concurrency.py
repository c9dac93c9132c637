"""Doing the same for many repositories at once, where the failure of one must not lose the work of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable


async def gather_bounded(names: Iterable[str], work: Callable[[str], Awaitable[None]], *, limit: int) -> None:
    """Await `work` for each name, at most `limit` at a time; all have ended before an error is raised.

    Raises:
        Exception: The first one's, with a note that names its repository and how many others failed.
    """
    semaphore = asyncio.Semaphore(limit)

    async def bounded(name: str) -> None:
        async with semaphore:
            await work(name)

    unique = list(dict.fromkeys(names))
    results = await asyncio.gather(*(bounded(name) for name in unique), return_exceptions=True)
    failures = [
        (name, result) for name, result in zip(unique, results, strict=True) if isinstance(result, BaseException)
    ]
    if failures:
        name, error = failures[0]
        error.add_note(f"at {name}; {len(failures)} of {len(unique)} repositories failed")
        raise error
