"""Signatures as https://www.standardwebhooks.com has them."""

import pytest

from squire_pipelines.domain.standard_webhooks import decode_key, is_signed, sign_message

# The example of the project's own libraries: https://github.com/standard-webhooks/standard-webhooks
KEY = decode_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_projects_own_example_is_signed_and_verified() -> None:
    assert sign_message(KEY, ID, TIME, BODY) == SIGNATURE
    assert is_signed([KEY], ID, TIME, BODY, SIGNATURE)


@pytest.mark.parametrize(
    "header",
    [
        f"v1,AAAA {SIGNATURE}",
        f"v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {SIGNATURE}",
    ],
)
def test_one_of_several_signatures_is_enough(header: str) -> None:
    assert is_signed([b"another", KEY], ID, TIME, BODY, header)


def test_no_more_than_twenty_signatures_of_a_message_are_compared() -> None:
    assert is_signed([KEY], ID, TIME, BODY, "v1,AAAA " * 19 + SIGNATURE)
    assert not is_signed([KEY], ID, TIME, BODY, "v1,AAAA " * 20 + SIGNATURE)


@pytest.mark.parametrize("header", ["", "v1,", SIGNATURE.removeprefix("v1,"), SIGNATURE.replace("v1,", "v1a,"), "v1,é"])
def test_what_is_no_signature_verifies_nothing(header: str) -> None:
    assert not is_signed([KEY], ID, TIME, BODY, header)


def test_id_time_and_body_are_all_signed() -> None:
    assert not is_signed([KEY], "msg_other", TIME, BODY, SIGNATURE)
    assert not is_signed([KEY], ID, TIME + 1, BODY, SIGNATURE)
    assert not is_signed([KEY], ID, TIME, BODY + b" ", SIGNATURE)


def test_a_key_is_what_follows_its_mark_in_base64_else_the_text() -> None:
    assert decode_key("plain text") == b"plain text"
    for text in ("whsec_%%%", "whsec_"):
        with pytest.raises(ValueError, match="no base64"):
            decode_key(text)
