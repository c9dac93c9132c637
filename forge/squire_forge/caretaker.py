"""The forge's background work: it settles repositories that have changed and sends webhooks, until it is cancelled."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.concurrency import run_in_threadpool

from squire_forge import events, operations, settling, store, store_checks
from squire_forge.errors import ForgeError
from squire_forge.faults import Faults
from squire_forge.outbox import DELIVERY_TIMEOUT_S, send_pending
from squire_forge.world import View, World

_RETRY_S = 1.0
_POLL_S = 0.02
_HOOK_URL = "webhook_url"
_log = logging.getLogger(__name__)


class Caretaker:
    """Two workers, one that settles and one that sends; both sleep until the world wakes them."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._to_settle = asyncio.Event()
        self._to_send = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background while the block runs, first on what a killed forge left undone."""
        loop = asyncio.get_running_loop()

        def wake(event: asyncio.Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        self._world.on_touch = lambda: wake(self._to_settle)
        self._world.database.on_commit = lambda: wake(self._to_send)
        await run_in_threadpool(self._resume)
        self._to_send.set()
        limits = httpx.Timeout(DELIVERY_TIMEOUT_S)
        async with httpx.AsyncClient(timeout=limits, trust_env=False, follow_redirects=False) as client:
            workers = [
                asyncio.create_task(self._settle_forever()),
                asyncio.create_task(self._send_forever(client)),
            ]
            try:
                yield
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def wait_until_settled(self, timeout_s: float) -> bool:
        """Settle all repositories and wait until no webhook is pending; return False when time runs out first."""
        deadline = time.monotonic() + timeout_s
        await run_in_threadpool(self._settle_all)
        while await run_in_threadpool(self._has_pending_webhooks):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _resume(self) -> None:
        with self._world.database.reading() as con:
            repositories = store.repositories(con)
        for repository in repositories:
            self._world.git(repository).remove_leftovers()
            self._world.touch(repository.id)
        url = self._world.config.webhook_url or ""
        with self._world.database.writing() as con:
            known = con.execute("SELECT value FROM meta WHERE key = ?", (_HOOK_URL,)).fetchone()
            if known is not None and known["value"] == url:
                return
            con.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_HOOK_URL, url))
            view = View(self._world, con)
            for repository in repositories:
                events.emit_ping(view, repository, operations.viewer(view))

    def _settle_all(self) -> None:
        with self._world.database.reading() as con:
            ids = [repository.id for repository in store.repositories(con)]
        for repository_id in ids:
            settling.settle(self._world, repository_id)

    def _has_pending_webhooks(self) -> bool:
        with self._world.database.reading() as con:
            return bool(store_checks.deliveries(con, pending=True, limit=1))

    async def _settle_forever(self) -> None:
        while True:
            await self._to_settle.wait()
            self._to_settle.clear()
            for repository_id in sorted(self._world.take_touched()):
                try:
                    await run_in_threadpool(settling.settle, self._world, repository_id)
                except ForgeError as error:
                    # For instance a push moved the base branch during a merge: try again.
                    _log.warning("repository %s could not be settled and will be tried again: %s", repository_id, error)
                    asyncio.get_running_loop().call_later(_RETRY_S, self._world.touch, repository_id)

    async def _send_forever(self, client: httpx.AsyncClient) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while await send_pending(self._world, client, self._faults):
                pass
