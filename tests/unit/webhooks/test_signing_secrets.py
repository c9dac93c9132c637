"""Which secret signed a body, and for which repositories it counts."""

from pathlib import Path

import pytest

from squire_pipelines.github.protocol import sign
from squire_pipelines.home import Home
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.webhooks.signing_secrets import (
    Signer,
    SigningSecrets,
    names_of_signing_secrets,
    read_signing_secrets,
)

BODY = b'{"a": 1}'
SECRETS = SigningSecrets(
    (b"new", b"old"), {"Acme/Shop": (b"of the shop", b"of two"), "acme/other": (b"of two",), "acme/none": (b"",)}
)


@pytest.mark.parametrize("secret", [b"new", b"old"])
def test_both_secrets_of_a_rotation_count_for_every_repository(secret: bytes) -> None:
    signer = SECRETS.signer_of(BODY, sign(BODY, secret))
    assert signer == Signer()
    assert signer.may_tell_of("any/thing")
    assert signer.may_tell_of(None)


def test_a_repositorys_own_secret_counts_for_its_repository_in_any_case_and_for_no_other() -> None:
    signer = SECRETS.signer_of(BODY, sign(BODY, b"of the shop"))
    assert signer is not None
    assert signer.may_tell_of("ACME/shop")
    assert not any(signer.may_tell_of(name) for name in ("acme/other", "acme/shop2", None))
    shared = SECRETS.signer_of(BODY, sign(BODY, b"of two"))
    assert shared is not None
    assert all(shared.may_tell_of(name) for name in ("acme/shop", "acme/other"))


@pytest.mark.parametrize("signature", [None, "", "sha256=", sign(BODY, b"else"), sign(BODY, b""), sign(b"", b"new")])
def test_what_none_of_them_signed_has_no_signer(signature: str | None) -> None:
    assert SECRETS.signer_of(BODY, signature) is None


def test_a_secret_that_is_also_a_repositorys_counts_for_every_repository() -> None:
    signer = SigningSecrets((b"one",), {"acme/shop": (b"one",)}).signer_of(BODY, sign(BODY, b"one"))
    assert signer == Signer()


def test_without_any_secret_nothing_can_be_verified() -> None:
    assert not SigningSecrets().can_verify
    assert not SigningSecrets((b"",)).can_verify
    assert SigningSecrets((), {"a/b": (b"x",)}).can_verify
    assert SigningSecrets(verifies_nothing=True).signer_of(BODY, None) == Signer()


def test_no_secret_is_in_its_text() -> None:
    assert "of the shop" not in repr(Signer(frozenset({"acme/shop"})))


def test_a_tenants_own_secret_counts_for_its_repositories_and_the_houses_for_them_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "of-the-house-signing")
    monkeypatch.setenv("SQUIRE_TENANT_ACME_WEBHOOK_SECRET", "of-acme-signing")
    tenants = {"acme/shop": "acme", "acme/other": "acme", "beta/site": "beta", "house/own": "default"}
    secrets = read_signing_secrets(WebhookSettings(), SecretSources(Home.from_environment()), tenants)
    own, house = (
        secrets.signer_of(BODY, sign(BODY, secret)) for secret in (b"of-acme-signing", b"of-the-house-signing")
    )
    assert own is not None
    assert house is not None
    told_of = {
        name: (own.may_tell_of(name), house.may_tell_of(name)) for name in ("ACME/shop", "beta/site", "house/own")
    }
    assert told_of == {"ACME/shop": (True, False), "beta/site": (False, True), "house/own": (False, True)}
    assert "acme.webhook-secret" in names_of_signing_secrets(WebhookSettings(), tenants)
