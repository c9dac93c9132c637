"""Replaces the webhooks' secret on both sides while deliveries come: the receiver takes two, until GitHub has the new.

The order is what keeps each delivery accepted, and each step can be repeated, so that a rotation that was killed goes
on: the present secret is kept as the old one, a new one is made, running receivers take both, GitHub gets the new one,
and when nothing is signed with the old one any more, that is removed. No value is logged, recorded or returned.
"""

import asyncio
import hmac
import secrets as random_secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from squire_pipelines.domain.delivery_gaps import APP_HOOK_NAME
from squire_pipelines.domain.server_processes import OLD_SUFFIX, ServerKind
from squire_pipelines.errors import ConfigError, GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.execution.delivery_hooks import HookSurvey, OwnHook
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.hook_deliveries import APP_HOOK, HookAddress, ping_hook, set_secret
from squire_pipelines.github.protocol import verify_signature
from squire_pipelines.home import Home
from squire_pipelines.ledger import server_processes
from squire_pipelines.ledger.audit import audit_page, record_audit
from squire_pipelines.ledger.signed_deliveries import SignedDelivery, newest_signed
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.reloading.process_status import ask_for_reload, read_statuses
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.keychain import ORIGIN as KEYCHAIN_ORIGIN
from squire_pipelines.secrets.lookup import (
    STORE_ORIGIN,
    delete_secret,
    find_secret,
    locate_secret,
    require_secret,
    store_secret,
)
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.settings.restarts import Part

PING_WAIT_S = 12.0
"""GitHub waits ten seconds for an answer."""

RELOAD_WAIT_S = 15.0
_BEGUN, _SET, _FINISHED = "webhooks.rotation_begun", "webhooks.secret_set", "webhooks.rotation_finished"
_UNCERTAIN = "which of its webhooks leads to this receiver is not certain: set webhooks.public_url"
_OFF = "the webhook is switched off, so that it was not pinged"
_BYTES = 32
_POLL_S = 0.2
_BY_HAND = (
    "by hand: set SQUIRE_WEBHOOK_SECRET_OLD to the present one and SQUIRE_WEBHOOK_SECRET to the new one where the "
    "receiver gets them, start it again, enter the new one on GitHub's page of the webhook, then remove the old one; "
    "or keep the secret with `squire secrets set webhook-secret`, and remove it there"
)


@dataclass(frozen=True, slots=True)
class RotationState:
    """How far a rotation is: `is_begun` where there is an old secret, `is_made` where the present one is another."""

    is_begun: bool
    is_made: bool
    where: str


@dataclass(frozen=True, slots=True)
class HookChange:
    """What became of one webhook: whether GitHub has the new secret, whether a ping showed it; else why not.

    `hook` is the repository, or `app`, and `webhook_id` the number of a repository's webhook, of which it may have
    several. A problem has no secret in it.
    """

    hook: str
    is_set: bool
    is_seen: bool = False
    problem: str = ""
    webhook_id: int | None = None


@dataclass(frozen=True, slots=True)
class KeepReason:
    """Why the old secret has to stay, in words, and what to do about it."""

    text: str
    hint: str


def rotation_state(sources: SecretSources) -> RotationState:
    """Return how far a rotation is.

    Raises:
        ConfigError: The secret is kept where Squire cannot write; the hint says how it is rotated by hand.
        SecretMissingError: There is none.
    """
    name = SecretName.WEBHOOK_SECRET
    current, old = require_secret(name, sources), find_secret(SecretName.WEBHOOK_SECRET_OLD, sources)
    where, _ = locate_secret(name, sources)
    if where not in {KEYCHAIN_ORIGIN, STORE_ORIGIN}:
        raise ConfigError(f"{name} comes from the {current.origin}, where Squire changes nothing", hint=_BY_HAND)
    is_made = old is not None and not hmac.compare_digest(old.reveal().encode(), current.reveal().encode())
    return RotationState(old is not None, is_made, where)


def make_secret(
    ledger: Ledger, sources: SecretSources, *, keep_old: timedelta, actor: str, trace_id: str
) -> RotationState:
    """Keep the present secret as the old one and make a new one, unless both were done; return the state before.

    Raises:
        ConfigError: As `rotation_state`, or the secrets cannot be written.
    """
    state = rotation_state(sources)
    if state.is_made:
        return state
    in_file = state.where == STORE_ORIGIN
    if not state.is_begun:
        current = require_secret(SecretName.WEBHOOK_SECRET, sources)
        store_secret(SecretName.WEBHOOK_SECRET_OLD, current.reveal(), sources, in_file=in_file)
    with ledger.write() as tx:
        until = (tx.now + keep_old).isoformat()
        _audit(tx, _BEGUN, SecretName.WEBHOOK_SECRET, actor=actor, trace_id=trace_id, keep_old_until=until)
    value = random_secrets.token_hex(_BYTES)
    store_secret(SecretName.WEBHOOK_SECRET, value, sources, in_file=in_file, kind="rotated")
    return state


def count_receivers(home: Home) -> int:
    """Return how many receivers of a home run."""
    return sum(status.process is Part.RECEIVER for status in read_statuses(home))


def have_receivers_read(home: Home, *, wait_s: float = RELOAD_WAIT_S) -> tuple[int, str]:
    """Have the running receivers of a home read their secrets; return how many there are, and what keeps one from it.

    Raises:
        OSError: The home cannot be written.
    """
    request = ask_for_reload(home)
    deadline = time.monotonic() + wait_s
    while True:
        receivers = [status for status in read_statuses(home) if status.process is Part.RECEIVER]
        late = [status for status in receivers if status.asked != request]
        problem = next((one.problem for one in receivers if one.problem and one not in late), "")
        if problem or not late:
            return len(receivers), problem
        if time.monotonic() >= deadline:
            return len(receivers), f"the receiver (process {late[0].pid}) has not read them within {wait_s:g} s"
        time.sleep(_POLL_S)


def receivers_without(ledger: Ledger, sources: SecretSources, name: SecretName) -> tuple[str, ...]:
    """Return where receivers live, on any machine, that would refuse what is signed with the secret that this home has.

    None are known of a ledger on SQLite, which one machine has for itself.

    Raises:
        SecretMissingError: This home has no such secret.
        LedgerError: The ledger does not answer.
    """
    secret = require_secret(name, sources)
    with ledger.write() as tx:
        processes, salt = server_processes.read_all(tx), server_processes.shared_salt(tx)
    if salt is None:
        return ()
    digest = server_processes.mark_of_secret(name, secret.reveal().encode(), salt)
    own = (name, f"{name}{OLD_SUFFIX}")
    receivers = (one for one in processes if one.kind is ServerKind.RECEIVER and not one.is_gone)
    return tuple(one.place for one in receivers if digest not in {one.secret_marks.get(known) for known in own})


def receivers_with_old(ledger: Ledger) -> tuple[str, ...]:
    """Return where receivers live, on any machine, that take the old secret too."""
    with ledger.read() as tx:
        processes = server_processes.read_all(tx)
    receivers = (one for one in processes if one.kind is ServerKind.RECEIVER and not one.is_gone)
    return tuple(one.place for one in receivers if SecretName.WEBHOOK_SECRET_OLD in one.secret_marks)


def wait_for_receivers(
    ledger: Ledger, sources: SecretSources, name: SecretName, *, wait_s: float = RELOAD_WAIT_S
) -> tuple[str, ...]:
    """Wait until all receivers of the ledger say that they have this home's secret; return where one still has not.

    Raises:
        SecretMissingError: This home has no such secret.
        LedgerError: The ledger does not answer.
    """
    deadline = time.monotonic() + wait_s
    while late := receivers_without(ledger, sources, name):
        if time.monotonic() >= deadline:
            return late
        time.sleep(_POLL_S)
    return ()


async def set_at_github(
    ledger: Ledger,
    sources: SecretSources,
    client: GitHubClient,
    survey: HookSurvey,
    *,
    has_receiver: bool,
    actor: str,
    trace_id: str,
    wait_s: float = PING_WAIT_S,
) -> tuple[HookChange, ...]:
    """Set the present secret at each webhook, which may be repeated, and see by a ping that GitHub signs with it.

    Raises:
        ConfigError: The secret cannot be read.
    """
    secret = require_secret(SecretName.WEBHOOK_SECRET, sources)
    changes: dict[HookAddress, HookChange] = {}
    for hook in survey.every_hook:
        change = HookChange(hook.name, is_set=False, webhook_id=hook.address.webhook_id)
        problem = "" if hook.is_certain else _UNCERTAIN
        if problem or (problem := await _set(client, hook, secret)):
            changes[hook.address] = replace(change, problem=problem)
            continue
        changes[hook.address] = replace(change, is_set=True, problem="" if hook.is_active else _OFF)
        with ledger.write() as tx:
            _audit(tx, _SET, hook.name, actor=actor, trace_id=trace_id, webhook=_number(hook.address))
    pinged = [
        hook.address
        for hook in survey.every_hook
        if changes[hook.address].is_set and hook.is_active and hook.address != APP_HOOK
    ]
    if has_receiver:
        for address in await _pinged(ledger, client, pinged, secret, wait_s):
            changes[address] = replace(changes[address], is_seen=True)
    unseen = (HookChange(one.name, is_set=False, problem=one.reason) for one in survey.unseen if not one.is_absent)
    # An answer of GitHub's may repeat what it was sent in an earlier rotation.
    redact = process_redactor().redact
    return tuple(replace(change, problem=redact(change.problem)) for change in (*changes.values(), *unseen))


def _number(address: HookAddress) -> str:
    """Return a webhook's number as the headers of its deliveries have it; empty for an App's."""
    return "" if address.webhook_id is None else str(address.webhook_id)


async def _set(client: GitHubClient, hook: OwnHook, secret: Secret) -> str:
    """Set the secret of one webhook; return why that failed, empty where it did not."""
    try:
        await set_secret(client, hook.address, secret)
    except (GitHubNotFoundError, GitHubPermissionError):
        return "the token may not change the webhook"
    except GitHubError as error:
        return error.message
    return ""


async def _pinged(
    ledger: Ledger, client: GitHubClient, addresses: Sequence[HookAddress], secret: Secret, wait_s: float
) -> frozenset[HookAddress]:
    """Ping webhooks, and return those of which a ping came that is signed with the secret."""
    with ledger.read() as tx:
        before = next((one.id for one in newest_signed(tx)), 0)
    waiting: set[HookAddress] = set()
    for address in addresses:
        try:
            await ping_hook(client, address)
        except GitHubError:
            continue  # it is set; the next delivery shows it
        waiting.add(address)
    seen: set[HookAddress] = set()
    deadline = time.monotonic() + wait_s
    while seen < waiting and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        with ledger.read() as tx:
            pings = [
                one for one in newest_signed(tx, event="ping", after=before) if _is_by(one.body, one.signature, secret)
            ]
        seen |= {address for address in waiting if any(_came_by(ping, address) for ping in pings)}
    return frozenset(seen)


def _came_by(one: SignedDelivery, address: HookAddress) -> bool:
    """Return whether a delivery came by a webhook; a proxy may have kept the header that names it."""
    return one.repository == address.name and one.hook_id in {None, _number(address)}


def _is_by(body: bytes, signature: str, secret: Secret) -> bool:
    return verify_signature(body, signature, secret.reveal().encode())


def reason_to_keep_old(
    ledger: Ledger, sources: SecretSources, names: Collection[str], *, keep_old: timedelta | None
) -> KeepReason | None:
    """Return why the old secret has to stay; None where it may go.

    Args:
        ledger: Has what came, and when the rotation began.
        sources: Have both secrets.
        names: The repositories whose deliveries count and are signed with the secret of all.
        keep_old: How long it is kept from the begin on; None for as long as was said then.
    """
    current, old = (
        require_secret(name, sources) for name in (SecretName.WEBHOOK_SECRET, SecretName.WEBHOOK_SECRET_OLD)
    )
    folded = {name.casefold() for name in names}
    with ledger.read() as tx:
        until = _kept_until(tx, keep_old)
        if until is not None and until > tx.now:
            return KeepReason(
                f"it is kept until {until:%Y-%m-%d %H:%M} UTC: what was signed with it can be verified again so long",
                "run the command again then; `--finish --keep-old 0s` does not wait for the time",
            )
        set_at = _set_moments(tx)
        for one in newest_signed(tx):
            name = one.repository or APP_HOOK_NAME
            moment = max((at for key, at in set_at.items() if _is_of(one, *key)), default=None)
            is_before = moment is not None and one.received_at <= moment
            counts = one.repository is None or name.casefold() in folded
            if is_before or not counts or _is_by(one.body, one.signature, current):
                continue
            if _is_by(one.body, one.signature, old):
                when = f"{one.received_at:%Y-%m-%d %H:%M} UTC"
                return KeepReason(
                    f"GitHub still signs with it: the newest delivery about {name}, of {when}, has no other signature",
                    "`squire webhooks rotate` sets the new one where GitHub has the old one",
                )
    return None


def old_kept_until(ledger: Ledger) -> datetime | None:
    """Return until when a rotation that was begun keeps the old secret; None where none was."""
    with ledger.read() as tx:
        return _kept_until(tx, None)


def signed_elsewhere(ledger: Ledger, sources: SecretSources, names: Collection[str]) -> tuple[str, ...]:
    """Return the repositories beside `names` whose newest delivery is signed with the secret that a rotation replaces.

    Raises:
        SecretMissingError: There is none.
    """
    secret = find_secret(SecretName.WEBHOOK_SECRET_OLD, sources) or require_secret(SecretName.WEBHOOK_SECRET, sources)
    seen = {name.casefold() for name in names}
    others: list[str] = []
    with ledger.read() as tx:
        for one in newest_signed(tx):
            if one.repository is None or one.repository.casefold() in seen:
                continue
            seen.add(one.repository.casefold())
            if _is_by(one.body, one.signature, secret):
                others.append(one.repository)
    return tuple(sorted(others))


def remove_old(ledger: Ledger, sources: SecretSources, *, actor: str, trace_id: str) -> tuple[str, ...]:
    """Remove the old secret; return where it was. Raises ConfigError."""
    places = delete_secret(SecretName.WEBHOOK_SECRET_OLD, sources)
    with ledger.write() as tx:
        _audit(tx, _FINISHED, SecretName.WEBHOOK_SECRET, actor=actor, trace_id=trace_id)
    return places


def _kept_until(tx: Transaction, keep_old: timedelta | None) -> datetime | None:
    begun = audit_page(tx, action=_BEGUN, limit=1)
    if not begun:
        return None
    if keep_old is not None:
        return begun[0].at + keep_old
    until = begun[0].detail.get("keep_old_until")
    return datetime.fromisoformat(until) if isinstance(until, str) else None


def _is_of(one: SignedDelivery, subject: str, webhook: str) -> bool:
    """Return whether a delivery came by a webhook, as the audit trail names it; an App's brings those of all."""
    if subject == APP_HOOK_NAME:
        return True
    # A proxy may have kept the header that names the webhook.
    return subject == one.repository and (one.hook_id is None or webhook in {"", one.hook_id})


def _set_moments(tx: Transaction) -> dict[tuple[str, str], datetime]:
    """Return when GitHub was given the present secret, by repository, or `app`, and the webhook's number."""
    begun = audit_page(tx, action=_BEGUN, limit=1)
    since = begun[0].at if begun else None
    rows = audit_page(tx, action=_SET, since=since, limit=1000)
    return {(row.subject, str(row.detail.get("webhook") or "")): row.at for row in reversed(rows)}


def _audit(tx: Transaction, action: str, subject: str, *, actor: str, trace_id: str, **detail: str) -> None:
    record_audit(tx, actor=actor, action=action, subject=subject, trace_id=trace_id, detail=dict(detail))
