import pytest

from squire_pipelines.github.protocol import sign
from squire_pipelines.webhooks.verification import SignatureState, verify_again

BODY = b'{"action": "opened"}'


@pytest.mark.parametrize(
    ("signature", "secrets", "state"),
    [
        (sign(BODY, b"new"), [b"old", b"new"], SignatureState.VALID),
        (sign(BODY, b"other"), [b"old", b"new"], SignatureState.INVALID),
        (sign(b"changed", b"new"), [b"new"], SignatureState.INVALID),
        (sign(BODY, b"new"), [], SignatureState.UNKNOWN),
        (sign(BODY, b""), [b""], SignatureState.INVALID),
        (None, [b"new"], SignatureState.UNKNOWN),
    ],
)
def test_a_stored_signature_holds_while_one_of_the_secrets_made_it(
    signature: str | None, secrets: list[bytes], state: SignatureState
) -> None:
    assert verify_again(BODY, signature, secrets).state is state
