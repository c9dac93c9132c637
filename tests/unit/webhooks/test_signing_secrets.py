"""Which secret signed a body, and for which repositories it counts."""

import pytest

from squire_pipelines.github.protocol import sign
from squire_pipelines.webhooks.signing_secrets import Signer, SigningSecrets

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
