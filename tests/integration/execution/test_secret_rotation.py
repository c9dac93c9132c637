"""A rotation that is killed at any of its steps goes on when it is run again, and no delivery is refused meanwhile."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from squire_pipelines.execution import secret_rotation
from squire_pipelines.execution.delivery_hooks import HookSurvey, OwnHook
from squire_pipelines.execution.secret_rotation import HookChange
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.hook_deliveries import repository_hook
from squire_pipelines.github.protocol import sign
from squire_pipelines.home import Home
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import find_secret, store_secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.sections.services import GitHubSettings
from tests.support.deliveries import push, record_delivery
from tests.support.ledgers import sqlite_ledger_file
from tests.support.secret_store_faults import cheap_store, passphrase

WHO, TRACE = "cli:ann", "ab" * 16
FIRST = "the-secret-that-was-there"
HOOKS = HookSurvey(tuple(OwnHook(repository_hook(name, 1)) for name in ("acme/api", "acme/shop")))
STEPS = 12
"""Before and after each of: the begin is recorded; GitHub has it and that is recorded, twice; the end is recorded."""


class Killed(BaseException):
    """The process is gone."""


class Death:
    """Comes at one of the moments that are counted; never where none is named."""

    def __init__(self, moment: int | None) -> None:
        self.moment, self.moments = moment, 0

    def pass_by(self) -> None:
        """Count a moment, or die at it."""
        self.moments += 1
        if self.moments - 1 == self.moment:
            raise Killed


class Rotation:
    """A ledger, the secrets of a home, and GitHub with two webhooks."""

    def __init__(self, ledger: Ledger, sources: SecretSources) -> None:
        self.ledger, self.sources = ledger, sources
        self.at_github = {f"/repos/{hook.name}/hooks/1/config": FIRST for hook in HOOKS.hooks}
        store_secret(SecretName.WEBHOOK_SECRET, FIRST, sources)

    def secret(self, name: SecretName) -> str | None:
        """Return a secret of the home."""
        secret = find_secret(name, self.sources)
        return None if secret is None else secret.reveal()

    def run(self, death: Death) -> None:
        """Rotate from the first step to the last, and finish."""
        mortal = _MortalLedger(self.ledger, death)
        try:
            self._run(mortal, death)
        finally:
            mortal.close()

    def _run(self, mortal: "_MortalLedger", death: Death) -> None:
        secret_rotation.make_secret(mortal, self.sources, keep_old=timedelta(0), actor=WHO, trace_id=TRACE)

        def answer(request: httpx.Request) -> httpx.Response:
            death.pass_by()
            self.at_github[request.url.path] = json.loads(request.content)["secret"]
            death.pass_by()
            return httpx.Response(200, json={})

        async def set_all() -> None:
            settings = GitHubSettings(api_url="https://api.test", min_write_interval_s=0)
            http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
            async with GitHubClient(settings, "ghp_" + "x" * 36, http=http) as client:
                await secret_rotation.set_at_github(
                    mortal, self.sources, client, HOOKS, has_receiver=False, actor=WHO, trace_id=TRACE
                )

        asyncio.run(set_all())
        names = tuple(hook.name for hook in HOOKS.hooks)
        if self.secret(SecretName.WEBHOOK_SECRET_OLD) is not None:
            assert not secret_rotation.reason_to_keep_old(mortal, self.sources, names, keep_old=timedelta(0))
            secret_rotation.remove_old(mortal, self.sources, actor=WHO, trace_id=TRACE)


class _MortalLedger(Ledger):
    """A ledger whose process may die before it writes, and after."""

    def __init__(self, ledger: Ledger, death: Death) -> None:
        super().__init__(f"sqlite:///{ledger.path}")
        self._death = death

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Write, with death before and after."""
        self._death.pass_by()
        with super().write() as tx:
            yield tx
        self._death.pass_by()


@pytest.fixture
def rotation(tmp_path: Path, open_at: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> Rotation:
    home = Home.from_environment()
    home.secret_store.parent.mkdir(parents=True, exist_ok=True)
    cheap_store(home.secret_store).create(passphrase())
    file = tmp_path / "passphrase"
    file.write_text(passphrase().reveal())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(file))
    return Rotation(open_at(f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"), SecretSources(home))


@pytest.mark.parametrize("moment", range(STEPS))
def test_a_rotation_that_was_killed_goes_on_with_the_secret_that_it_has_made(rotation: Rotation, moment: int) -> None:
    with pytest.raises(Killed):
        rotation.run(Death(moment))
    present, old = rotation.secret(SecretName.WEBHOOK_SECRET), rotation.secret(SecretName.WEBHOOK_SECRET_OLD)
    # What GitHub signs with is among what a receiver takes, at each moment.
    assert set(rotation.at_github.values()) <= {present, old}
    rotation.run(Death(None))
    new = rotation.secret(SecretName.WEBHOOK_SECRET)
    if old is not None and present != FIRST:
        assert new == present, "no third secret is made"
    assert set(rotation.at_github.values()) == {new}
    assert rotation.secret(SecretName.WEBHOOK_SECRET_OLD) is None


def test_repositories_beside_those_of_the_settings_are_known_by_the_secret_that_is_replaced(rotation: Rotation) -> None:
    def deliver(repository: str, secret: str) -> None:
        body = push(repository)
        record_delivery(
            rotation.ledger,
            source="github",
            delivery_id=f"{repository} {secret}",
            event="push",
            action=None,
            repository=repository,
            body=body,
            signature=sign(body, secret.encode()),
        )

    def others() -> tuple[str, ...]:
        return secret_rotation.signed_elsewhere(rotation.ledger, rotation.sources, ("acme/API",))

    for repository, secret in (
        ("acme/api", FIRST),
        ("else/two", FIRST),
        ("Else/One", FIRST),
        ("else/three", "its own"),
    ):
        deliver(repository, secret)
    assert others() == ("Else/One", "else/two")
    with pytest.raises(Killed):
        rotation.run(Death(3))
    deliver("else/two", rotation.secret(SecretName.WEBHOOK_SECRET) or "")
    assert others() == ("Else/One",)


def test_each_webhook_of_a_repository_gets_the_secret_and_the_old_one_stays_for_one_that_does_not(
    rotation: Rotation,
) -> None:
    ledger, sources = rotation.ledger, rotation.sources
    hooks = [repository_hook("acme/shop", number) for number in (1, 2, 3)]
    other = OwnHook(repository_hook("acme/api", 4), is_active=False)
    survey = HookSurvey((OwnHook(hooks[0], siblings=tuple(map(OwnHook, hooks[1:]))), other))

    def deliver(event: str, hook_id: str | None, secret: str, repository: str = "acme/shop") -> None:
        body = push(repository)
        record_delivery(
            ledger,
            source="github",
            delivery_id=f"{event} {hook_id}",
            event=event,
            action=None,
            repository=repository,
            body=body,
            signature=sign(body, secret.encode()),
            hook_id=hook_id,
        )

    def answer(request: httpx.Request) -> httpx.Response:
        *_, number, leaf = request.url.path.split("/")
        if leaf == "pings" and number == "1":  # that of the second is lost
            deliver("ping", number, rotation.secret(SecretName.WEBHOOK_SECRET) or "")
        return httpx.Response(403 if number == "3" else 200, json={})

    deliver("push", "3", FIRST)
    deliver("push", None, FIRST, "acme/api")  # a proxy has kept the header that names the webhook
    secret_rotation.make_secret(ledger, sources, keep_old=timedelta(0), actor=WHO, trace_id=TRACE)

    async def set_all() -> tuple[HookChange, ...]:
        settings = GitHubSettings(api_url="https://api.test", min_write_interval_s=0)
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        async with GitHubClient(settings, "ghp_" + "x" * 36, http=http) as client:
            return await secret_rotation.set_at_github(
                ledger, sources, client, survey, has_receiver=True, actor=WHO, trace_id=TRACE, wait_s=0.01
            )

    changes = asyncio.run(set_all())
    assert [(one.hook, one.webhook_id, one.is_set, one.is_seen) for one in changes] == [
        ("acme/shop", 1, True, True),
        ("acme/shop", 2, True, False),
        ("acme/shop", 3, False, False),
        ("acme/api", 4, True, False),
    ]

    def reason_to_keep_old(name: str) -> str:
        reason = secret_rotation.reason_to_keep_old(ledger, sources, [name], keep_old=timedelta(0))
        return reason.text if reason else ""

    assert "GitHub still signs with it" in reason_to_keep_old("acme/shop")
    assert not reason_to_keep_old("acme/api"), "it has the new secret since then"


def test_the_moments_are_all_that_there_are(rotation: Rotation) -> None:
    death = Death(None)
    rotation.run(death)
    assert death.moments == STEPS
    assert rotation.secret(SecretName.WEBHOOK_SECRET) != FIRST
