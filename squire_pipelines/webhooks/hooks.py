"""`POST /hooks/{source}`: deliveries of other senders than GitHub, each verified as its scheme says, and stored.

Nothing of a body is read here: what it says is found out with the collection that the delivery asks for.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse

from squire_pipelines.domain.deliveries import UNKNOWN_SENDER
from squire_pipelines.domain.hook_schemes import HookRefusal, HookRefusalReason, may_be_signed, verify_request
from squire_pipelines.ledger.inbox import IncomingDelivery
from squire_pipelines.ledger.store import utc_now
from squire_pipelines.webhooks.endpoints import DeliveryEndpoint, ReceiverParts
from squire_pipelines.webhooks.filtering import DeliveryJudge
from squire_pipelines.webhooks.limits import RequestRefusedError, busy
from squire_pipelines.webhooks.live_hooks import LiveHook

HOOK_PATH = "/hooks/{source}"

_BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _TOO_LARGE, _WRONG_TYPE = 400, 401, 404, 413, 415
_MAX_DIGITS = 20  # of 2**64


class OtherSenders:
    """Takes the deliveries of the senders that the settings switch on.

    Args:
        parts: The receiver's.
        hooks: Gives the senders by name; asked at each request.
        judge: Gives who says which deliveries ask for nothing: of others than GitHub's by sender and event alone.
        clock: Gives our time.
    """

    def __init__(
        self,
        parts: ReceiverParts,
        hooks: Callable[[], Mapping[str, LiveHook]],
        *,
        judge: Callable[[], DeliveryJudge],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._parts = parts
        self._hooks = hooks
        self._judge = judge
        self._clock = clock
        self._unknown = DeliveryEndpoint(
            UNKNOWN_SENDER, parts, accept=_accept_nothing, may_be_signed=lambda _: False, check=_refuse_unknown
        )

    async def receive(self, request: Request) -> JSONResponse:
        """Take one delivery: 202 for a new one, 200 for one that was there."""
        name = str(request.path_params["source"])
        hook = self._hooks().get(name)
        if hook is None:
            return await self._unknown.receive(request)
        endpoint = DeliveryEndpoint(
            name,
            self._parts,
            accept=partial(self._accept, name, hook),
            may_be_signed=lambda one: may_be_signed(hook.scheme, one.headers),
            check=partial(_check, name, hook),
        )
        return await endpoint.receive(request)

    async def _accept(self, name: str, hook: LiveHook, request: Request, body: bytes) -> IncomingDelivery:
        if len(body) > hook.max_body:
            raise _too_large(name, hook)
        verdict = verify_request(hook.scheme, request.headers, body, hook.secrets, self._clock())
        if isinstance(verdict, HookRefusal):
            status = _BAD_REQUEST if verdict.reason is HookRefusalReason.UNNAMED else _UNAUTHORIZED
            raise RequestRefusedError(status, verdict.message, verdict.hint, reason=verdict.reason.value)
        return IncomingDelivery(
            source=name,
            delivery_id=verdict.delivery_id,
            event=verdict.event,
            action=None,
            repository=None,
            body=body,
            reads_body=True,
            signature=verdict.signature,
            filtered_by=self._judge().rule_of_sender(name, verdict.event),
        )


def _check(name: str, hook: LiveHook, request: Request) -> None:
    """Refuse a request that can be nothing before its body is read."""
    if not hook.secrets:
        raise busy(f"the secret of the sender {name} cannot be read here", retry_after_s=60)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    if not is_json or request.headers.get("content-encoding", "identity").lower() != "identity":
        hint = "have the sender post application/json, and not compressed"
        raise RequestRefusedError(_WRONG_TYPE, "the content type is no JSON", hint)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and len(declared) < _MAX_DIGITS and int(declared) > hook.max_body:
        raise _too_large(name, hook)


def _too_large(name: str, hook: LiveHook) -> RequestRefusedError:
    message = f"the body is larger than {hook.max_body} bytes"
    return RequestRefusedError(_TOO_LARGE, message, f"see hooks.{name}.max_body", reason="the body is too large")


def _refuse_unknown(_request: Request) -> None:
    hint = "the settings name a sender by a table [hooks.NAME], which is switched on, and its path is /hooks/NAME"
    raise RequestRefusedError(_NOT_FOUND, "there is no sender of this name", hint)


async def _accept_nothing(request: Request, _body: bytes) -> IncomingDelivery:
    _refuse_unknown(request)
    raise AssertionError  # pragma: no cover - it was refused
