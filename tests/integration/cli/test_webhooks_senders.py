"""`squire webhooks senders`, the doctor's line of each sender, and the signatures of what they delivered."""

import hmac

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor.table import check_hooks, check_webhook
from squire_pipelines.ledger.inbox import IncomingDelivery, PackedDelivery, store
from tests.support.cli import REPOSITORY, SampleData, Squire

BODY = b"{}"
SETTINGS = f"""
repositories = ["{REPOSITORY}"]
[hooks.sentry]
projects = {{ web = "{REPOSITORY}" }}
[hooks.deploys]
reader = "generic"
[hooks.ci]
reader = "generic"
scheme = "hmac"
[hooks.old]
reader = "generic"
enabled = false
"""


@pytest.fixture(autouse=True)
def senders(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    squire.config(SETTINGS)
    monkeypatch.setenv("SQUIRE_HOOK_SENTRY_KEY", "the secret")


def deliver(samples: SampleData, hook: str, signature: str | None) -> int:
    incoming = IncomingDelivery(hook, "d-1", "issue", None, None, BODY, reads_body=True, signature=signature)
    return store(samples.ledger, [PackedDelivery.of(incoming)])[0].id


def test_senders_are_listed_with_what_keeps_one_from_being_received(squire: Squire, samples: SampleData) -> None:
    deliver(samples, "sentry", None)
    rows = {row["name"]: row for row in squire.json("webhooks", "senders")}
    assert {name: (row["scheme"], row["problem"]) for name, row in rows.items()} == {
        "sentry": ("hmac", ""),
        "deploys": ("standard", "the secret hook-deploys-key is missing"),
        "ci": ("", "[hooks.ci]: the scheme hmac needs header"),
        "old": ("standard", ""),
    }
    assert (rows["sentry"]["path"], rows["sentry"]["open_facts"]) == ("/hooks/sentry", 0)
    assert rows["sentry"]["received_at"]
    assert rows["deploys"]["received_at"] is None
    shown = squire.ok("webhooks", "senders")
    assert "switched off" in shown
    assert "ready" in shown


def test_the_doctor_has_a_line_for_each_sender(squire: Squire) -> None:
    context = CliContext()
    context.config = squire.home / "config.toml"
    lines = {line.name: line for line in check_hooks(context)}
    assert {name: line.status for name, line in lines.items()} == {
        "hooks sentry": "ok",
        "hooks deploys": "fail",
        "hooks ci": "fail",
        "hooks old": "ok",
    }
    assert lines["hooks sentry"].message == "/hooks/sentry, signed by hmac, no delivery yet"
    assert "squire secrets set hook-deploys-key" in lines["hooks deploys"].next_step


def test_the_doctor_looks_at_webhooks_also_where_only_a_repository_has_a_secret(
    squire: Squire, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n[webhooks.secrets]\n"{REPOSITORY}" = ["acme-hook-key"]\n')
    context = CliContext()
    context.config = squire.home / "config.toml"
    assert list(check_webhook(context)) == []
    monkeypatch.setenv("SQUIRE_ACME_HOOK_KEY", "the secret")
    (line,) = check_webhook(context)
    assert line.message.startswith("no delivery has ever arrived")


def test_without_senders_there_is_nothing_to_list(squire: Squire) -> None:
    squire.config("")
    assert "no sender beside GitHub" in squire.ok("webhooks", "senders")


@pytest.mark.parametrize(
    ("hook", "signature", "says"),
    [
        ("sentry", hmac.new(b"the secret", BODY, "sha256").hexdigest(), "valid"),
        ("sentry", hmac.new(b"another", BODY, "sha256").hexdigest(), "invalid"),
        ("sentry", None, "a token signs no body"),
        ("deploys", "1 v1,AAAA", "hook-deploys-key"),
    ],
)
def test_the_signature_of_a_stored_delivery_is_verified_in_its_senders_way(
    squire: Squire, samples: SampleData, hook: str, signature: str | None, *, says: str
) -> None:
    number = deliver(samples, hook, signature)
    (line,) = [line for line in squire.ok("webhooks", "show", str(number)).splitlines() if "signature:" in line]
    assert says in line
