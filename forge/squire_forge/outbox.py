"""Sends the webhooks that `events` queued: signed as GitHub signs, one attempt each, with the result recorded."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from starlette.concurrency import run_in_threadpool

from squire_forge import store, store_checks
from squire_forge.faults import DELIVER, Faults
from squire_forge.records import Delivery
from squire_forge.store_hooks import secret_of
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


@dataclass(frozen=True, slots=True)
class _Pending:
    """A webhook to send, about which repository, and the key of its signature."""

    delivery: Delivery
    repository: str
    secret: str


def _headers(pending: _Pending) -> Mapping[str, str]:
    """Return the headers that GitHub sends; one without a secret is not signed."""
    delivery = pending.delivery
    headers = {
        "content-type": "application/json",
        "accept": "*/*",
        "user-agent": "GitHub-Hookshot/f0r9e00",
        "x-github-event": delivery.event,
        "x-github-delivery": delivery.guid,
        "x-github-hook-id": str(HOOK_ID),
        "x-github-hook-installation-target-id": str(delivery.repository_id),
        "x-github-hook-installation-target-type": "repository",
    }
    return headers | ({"x-hub-signature-256": signature(pending.secret, delivery.body)} if pending.secret else {})


async def send_pending(world: World, client: httpx.AsyncClient, faults: Faults) -> int:
    """Send up to eight pending webhooks at once and return how many there were."""
    pending = await run_in_threadpool(_pending, world)
    await asyncio.gather(*(_settle(world, client, faults, one) for one in pending))
    return len(pending)


def _pending(world: World) -> list[_Pending]:
    with world.database.reading() as con:
        return [
            _Pending(
                delivery,
                store.repository(con, delivery.repository_id).full_name,
                secret_of(con, delivery.repository_id, world.config.webhook_secret),
            )
            for delivery in store_checks.deliveries(con, pending=True, limit=_AT_ONCE)
        ]


async def _settle(world: World, client: httpx.AsyncClient, faults: Faults, pending: _Pending) -> None:
    """Send a webhook, unless a fault loses it, and record how that ended; a fault may say that it ended otherwise."""
    delivery = pending.delivery
    fault = faults.take_for_delivery(f"{DELIVER}{delivery.event} {pending.repository}")
    if fault is not None:
        await asyncio.sleep(fault.delay_s)
    if fault is None or fault.status is None or fault.after:
        result = await _send(world, client, pending)
    if fault is not None and fault.status is not None:
        good = 200 <= fault.status < 300  # noqa: PLR2004 - the class of good statuses
        result = _Result(0.0, "OK" if good else HTTPStatus(fault.status).phrase, fault.status, fault.body)
    _log.info("delivery %s %s -> %s %s", delivery.id, delivery.event, result.code, result.status)
    await run_in_threadpool(_record, world, delivery.id, result)


async def _send(world: World, client: httpx.AsyncClient, pending: _Pending) -> _Result:
    url = world.config.webhook_url
    began = time.monotonic()
    code, status, text = 0, "no webhook is configured", ""
    if url is not None:
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                response = await client.post(url, content=pending.delivery.body, headers=dict(_headers(pending)))
            code, status = response.status_code, "OK" if response.is_success else response.reason_phrase
            text = response.text[:_KEPT_RESPONSE]
        except TimeoutError:
            status = "timed out"
        except httpx.HTTPError as error:
            status = f"failed to connect to host: {error}" if isinstance(error, httpx.ConnectError) else str(error)
    return _Result(round(time.monotonic() - began, 3), status or "failed", code, text)


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
