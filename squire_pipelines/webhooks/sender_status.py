"""How the senders beside GitHub stand: how each signs, what keeps it from being received, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.errors import SquireError
from squire_pipelines.ledger import deliveries, hook_deliveries
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secret_names import variables_of
from squire_pipelines.secrets.lookup import locate_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.live_hooks import scheme_of


@dataclass(frozen=True, slots=True)
class SenderStatus:
    """A sender of the settings.

    Args:
        name: Of its table, and in its path.
        path: Where it posts to.
        enabled: Whether it is switched on.
        reader: What reads its bodies.
        scheme: How it signs; empty where that is not known.
        problem: What keeps it from being received, empty where nothing does.
        next_step: What to do about that.
        received_at: When its newest delivery came; None where none has.
        open_facts: How many of its facts are open.
    """

    name: str
    path: str
    enabled: bool
    reader: str
    scheme: str
    problem: str
    next_step: str
    received_at: datetime | None
    open_facts: int


def sender_statuses(settings: Settings, ledger: Ledger | None) -> Iterator[SenderStatus]:
    """Yield the senders of the settings. No passphrase is asked for; a package's reader is asked in a child.

    Args:
        settings: In force.
        ledger: Where deliveries are; None where there is none yet.
    """
    for name, section in settings.hooks.items():
        scheme, problem, next_step = "", "", ""
        try:
            scheme = scheme_of(section, name).kind
            for secret in section.secret_names(name):
                place, trouble = locate_secret(secret, settings.secret_sources)
                if not place and not problem:
                    problem = f"the secret {secret} is missing"
                    next_step = trouble or f"run `squire secrets set {secret}`, or set {variables_of(secret)[0]}"
        except SquireError as error:
            problem, next_step = error.message, error.hint
        received_at, open_facts = _what_came(ledger, name)
        yield SenderStatus(
            name=name,
            path=f"/hooks/{name}",
            enabled=section.enabled,
            reader=section.reader_of(name),
            scheme=scheme,
            problem=problem if section.enabled else "",
            next_step=next_step if section.enabled else "",
            received_at=received_at,
            open_facts=open_facts,
        )


def _what_came(ledger: Ledger | None, name: str) -> tuple[datetime | None, int]:
    if ledger is None:
        return None, 0
    with ledger.read() as tx:
        newest = deliveries.newest(tx, source=name)
        return (None if newest is None else newest.received_at), hook_deliveries.open_facts(tx, name)
