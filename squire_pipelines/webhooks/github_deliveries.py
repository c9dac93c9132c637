"""GitHub's deliveries as requests: the signature over the raw body, headers, content type, and which repository.

What a delivery says is `github.events`'s.
"""

import re
from collections.abc import Callable, Collection, Mapping

from starlette.requests import Request

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.github.events import ParsedDelivery, parse_delivery
from squire_pipelines.github.protocol import DeliveryHeaders, parse_delivery_headers
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.inbox import IncomingDelivery
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.webhooks.endpoints import ReceiverParts
from squire_pipelines.webhooks.filtering import DeliveryJudge
from squire_pipelines.webhooks.ledger_threads import reading_slow
from squire_pipelines.webhooks.limits import RequestRefusedError
from squire_pipelines.webhooks.signing_secrets import Signer, SigningSecrets

# The headers are not signed, so that anybody who replays a delivery may put into them what he likes.
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_EVENT = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_HOOK_ID = re.compile(r"[0-9]{1,40}")
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_MAX_ACTION, _MAX_REPOSITORY, _MAX_SENDER = 100, 140, 100
_CONTENT_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded"})
_HINT = "; `squire secrets get webhook-secret --reveal` shows ours"


class GitHubDeliveries:
    """Verifies and reads GitHub's deliveries.

    Args:
        ledger: Knows the ids of repositories.
        parts: The receiver's.
        secrets: Gives the secrets; asked at each delivery.
        repositories: Gives the names whose deliveries ask for something; those of others are kept as irrelevant.
        judge: Gives who says which deliveries ask for nothing.
    """

    def __init__(
        self,
        ledger: Ledger,
        parts: ReceiverParts,
        *,
        secrets: Callable[[], SigningSecrets],
        repositories: Callable[[], Collection[str]],
        judge: Callable[[], DeliveryJudge],
    ) -> None:
        self._ledger = ledger
        self._parts = parts
        self._secrets = secrets
        self._repositories = repositories
        self._judge = judge
        self._known: tuple[Collection[str], Mapping[str, str]] = ((), {})

    def may_be_signed(self, request: Request) -> bool:
        """Return whether a request has what can be a signature."""
        return self._secrets().verifies_nothing or bool(
            _SIGNATURE.fullmatch(request.headers.get("x-hub-signature-256", "").strip())
        )

    async def accept(self, request: Request, body: bytes) -> IncomingDelivery:
        """Return the delivery that a request is. Raises RequestRefusedError, DeliveryError."""
        limits, secrets = self._parts.limits, self._secrets()
        if len(body) <= limits.inline_body:
            signer, headers, parsed = verify_and_parse(request.headers, body, secrets)
        else:  # the others are answered meanwhile
            signer, headers, parsed = await self._parts.threads.call(
                lambda: verify_and_parse(request.headers, body, secrets),
                limits.ledger_timeout_s,
                too_slow=reading_slow,
            )
        watched = await self._subject(parsed, signer)
        relevant = parsed.relevant and (watched is not None or parsed.of_account)
        judge, hook_id = self._judge(), request.headers.get("x-github-hook-id", "")
        return IncomingDelivery(
            source=DeliverySource.GITHUB,
            delivery_id=headers.delivery_id,
            event=headers.event,
            action=parsed.action[:_MAX_ACTION] if parsed.action else None,
            repository=watched or (parsed.repository[:_MAX_REPOSITORY] if parsed.repository else None),
            body=body,
            relevant=relevant,
            collects=judge.asks_for_reading(parsed),
            sender=parsed.sender[:_MAX_SENDER] if parsed.sender else None,
            hook_id=hook_id if _HOOK_ID.fullmatch(hook_id) else None,
            signature=None if secrets.verifies_nothing else request.headers["x-hub-signature-256"].strip(),
            filtered_by=judge.rule_of(parsed) if relevant else None,
        )

    async def _subject(self, parsed: ParsedDelivery, signer: Signer) -> str | None:
        """Return the settings' name of what a delivery is about, None where it is none of theirs.

        A secret of one repository is still that one's when GitHub calls the repository otherwise: then the id counts,
        and nothing is known of it by the name that the delivery has. Raises RequestRefusedError.
        """
        # The event's name is not signed, and an installation is that of all of its owner's repositories.
        if parsed.installation is not None and signer.repositories is not None:
            message = "it is about the GitHub App and signed with the secret of a repository"
            raise RequestRefusedError(401, message, "give the App's webhook the secret webhook-secret")
        named = self._watched(parsed.repository) if signer.may_tell_of(parsed.repository) else None
        watched = named or await self._watched_by_id(parsed.repository_id)
        if not signer.may_tell_of(watched or parsed.repository):
            hint = "see webhooks.secrets: each is for deliveries of its repository alone"
            raise RequestRefusedError(401, "it is signed with another repository's secret", hint)
        return watched

    def _watched(self, repository: str | None) -> str | None:
        """Return the repository's name as the settings spell it, None when it is not in them; GitHub ignores case."""
        names = self._repositories()
        if names is not self._known[0] or len(names) != len(self._known[1]):
            self._known = names, {name.casefold(): name for name in names}
        return self._known[1].get((repository or "").casefold())

    async def _watched_by_id(self, github_id: int | None) -> str | None:
        """Return the settings' name of a repository that has another name by now, None when it is not in them."""
        if github_id is None:
            return None

        def read() -> str | None:
            with self._ledger.read() as tx:
                return repositories.name_of_id(tx, github_id)

        return self._watched(await self._parts.threads.call(read, self._parts.limits.ledger_timeout_s))


def verify_and_parse(
    headers: Mapping[str, str], body: bytes, secrets: SigningSecrets
) -> tuple[Signer, DeliveryHeaders, ParsedDelivery]:
    """Return whose secret signed a request with a raw body, and what it says, once its signature is verified.

    Args:
        headers: Of the request; their names in any case.
        body: Raw, as it was signed.
        secrets: Of which one has to have signed it.

    Raises:
        RequestRefusedError: The signature, the content type or a header is not what it has to be.
        DeliveryError: The body is not what GitHub sends.
    """
    signer = secrets.signer_of(body, headers.get("x-hub-signature-256"))
    if signer is None:
        raise _unsigned(headers)
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _CONTENT_TYPES or headers.get("content-encoding", "identity").lower() != "identity":
        hint = "set the webhook's content type to application/json or application/x-www-form-urlencoded"
        raise RequestRefusedError(415, "the content type is none of GitHub's", hint)
    named = parse_delivery_headers(headers)
    if not _DELIVERY_ID.fullmatch(named.delivery_id) or not _EVENT.fullmatch(named.event):
        raise RequestRefusedError(400, "X-GitHub-Delivery or X-GitHub-Event is not what GitHub sends")
    return signer, named, parse_delivery(named.event, body)


def _unsigned(headers: Mapping[str, str]) -> RequestRefusedError:
    """Return the refusal of a delivery without the right signature, which says which header came."""
    if headers.get("x-hub-signature-256", "").strip():
        message = "X-Hub-Signature-256 is wrong"
        hint = f"it is of another secret, or a proxy has changed the body: compare the webhook's secret{_HINT}"
    elif "x-hub-signature" in headers:
        message = "X-Hub-Signature-256 is missing, X-Hub-Signature alone came"
        hint = f"SHA-1 is not enough: have a proxy pass X-Hub-Signature-256 on, and compare the webhook's secret{_HINT}"
    else:
        message = "X-Hub-Signature-256 is missing"
        hint = f"no signature came: the webhook has no secret at GitHub, where it is to be set{_HINT}"
    return RequestRefusedError(401, message, hint)
