"""Sends the webhooks that `events` queued: signed as GitHub signs, one attempt each, with the result recorded."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from starlette.concurrency import run_in_threadpool

from squire_forge import store_checks
from squire_forge.records import Delivery
from squire_forge.world import HOOK_ID, World

DELIVERY_TIMEOUT_S = 10.0
_AT_ONCE = 8
_KEPT_RESPONSE = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    took_s: float
    status: str
    code: int
    text: str


def signature(secret: str, body: bytes) -> str:
    """Return the value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def delivery_headers(world: World, delivery: Delivery) -> Mapping[str, str]:
    """Return the headers that GitHub sends."""
    return {
        "content-type": "application/json",
        "accept": "*/*",
        "user-agent": "GitHub-Hookshot/f0r9e00",
        "x-github-event": delivery.event,
        "x-github-delivery": delivery.guid,
        "x-github-hook-id": str(HOOK_ID),
        "x-github-hook-installation-target-id": str(delivery.repository_id),
        "x-github-hook-installation-target-type": "repository",
        "x-hub-signature-256": signature(world.config.webhook_secret, delivery.body),
    }


async def send_pending(world: World, client: httpx.AsyncClient) -> int:
    """Send up to eight pending webhooks at once and return how many there were."""
    pending = await run_in_threadpool(_pending, world)
    await asyncio.gather(*(_send(world, client, delivery) for delivery in pending))
    return len(pending)


def _pending(world: World) -> list[Delivery]:
    with world.database.reading() as con:
        return list(store_checks.deliveries(con, pending=True, limit=_AT_ONCE))


async def _send(world: World, client: httpx.AsyncClient, delivery: Delivery) -> None:
    url = world.config.webhook_url
    began = time.monotonic()
    code, status, text = 0, "no webhook is configured", ""
    if url is not None:
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                response = await client.post(
                    url, content=delivery.body, headers=dict(delivery_headers(world, delivery))
                )
            code, status = response.status_code, "OK" if response.is_success else response.reason_phrase
            text = response.text[:_KEPT_RESPONSE]
        except TimeoutError:
            status = "timed out"
        except httpx.HTTPError as error:
            status = f"failed to connect to host: {error}" if isinstance(error, httpx.ConnectError) else str(error)
    took = round(time.monotonic() - began, 3)
    _log.info("delivery %s %s -> %s %s", delivery.id, delivery.event, code, status)
    await run_in_threadpool(_record, world, delivery.id, _Result(took, status or "failed", code, text))


def _record(world: World, delivery_id: int, result: _Result) -> None:
    with world.database.writing() as con:
        store_checks.settle_delivery(
            con,
            delivery_id,
            now=world.now(),
            duration=result.took_s,
            status=result.status,
            status_code=result.code,
            response=result.text,
        )
