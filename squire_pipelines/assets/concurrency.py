"""Doing the same for many repositories at once, where the failure of one must not lose the work of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

_T = TypeVar("_T")


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


class Batches(Generic[_T]):
    """Hands items on together: those that come in one turn of the event loop are handled at once.

    A transaction for each item would cost as much as its work does. What waits is bounded by those who add.

    Args:
        handle: Takes a batch, in the order in which its items were added.
    """

    def __init__(self, handle: Callable[[Sequence[_T]], None]) -> None:
        self._handle = handle
        self._waiting: list[tuple[_T, asyncio.Future[None]]] = []

    async def add(self, item: _T) -> None:
        """Return when the item's batch was handled. Raises what the handling of its batch raised."""
        loop = asyncio.get_running_loop()
        handled = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._handle_waiting)
        self._waiting.append((item, handled))
        await handled

    def _handle_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        error: BaseException | None = None
        try:
            self._handle([item for item, _ in batch])
        except BaseException as raised:  # noqa: BLE001 - raised to each who waits, who would wait for ever otherwise
            error = raised
        for _, handled in batch:
            if handled.done():  # its task was cancelled meanwhile
                continue
            if error is None:
                handled.set_result(None)
            else:
                handled.set_exception(error)
