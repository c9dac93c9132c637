"""Signatures, and what answers must not repeat."""

import hashlib
import hmac
from urllib.parse import quote

import pytest
import time_machine

from squire_pipelines.gateway.clouds.cloud import AwsKeys, Cloud, GoogleToken, Platform
from squire_pipelines.gateway.clouds.signing import hidden_parts, sign
from tests.support.clouds import KEYS, signature_of

CLOUD = Cloud(Platform.BEDROCK, "eu-central-1")
URL = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-v1%3A0/invoke"
HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "anthropic-beta": "a"}
BODY = b'{"max_tokens":5}'


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@time_machine.travel("2026-11-28T12:00:00Z", tick=False)
def test_the_signature_is_the_one_that_awss_documentation_describes() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, by hand."""
    made = sign(CLOUD, KEYS, method="POST", url=URL, headers=HEADERS, body=BODY)
    path = quote("/model/eu.anthropic.claude-v1%3A0/invoke", safe="/")
    names = "content-type;host;x-amz-date;x-amz-security-token"
    canonical = "\n".join(
        [
            "POST",
            path,
            "",
            "content-type:application/json",
            "host:bedrock-runtime.eu-central-1.amazonaws.com",
            "x-amz-date:20261128T120000Z",
            f"x-amz-security-token:{KEYS.session_token}",
            "",
            names,
            hashlib.sha256(BODY).hexdigest(),
        ]
    )
    scope = "20261128/eu-central-1/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n20261128T120000Z\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{KEYS.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    assert made["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={_hmac(key, text).hex()}"
    )
    assert made["x-amz-security-token"] == KEYS.session_token
    assert {name: made[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(("url", "body"), [(URL + "x", BODY), (URL, BODY + b" ")], ids=["another path", "another body"])
def test_another_request_has_another_signature(url: str, body: bytes) -> None:
    made = sign(CLOUD, KEYS, method="POST", url=URL, headers=HEADERS, body=BODY)
    received = {**made, "host": "bedrock-runtime.eu-central-1.amazonaws.com"}
    assert signature_of("POST", URL, received, BODY) == made["authorization"]
    assert signature_of("POST", url, received, body) != made["authorization"]


def test_the_secret_key_is_in_no_header() -> None:
    made = sign(CLOUD, KEYS, method="POST", url=URL, headers=HEADERS, body=BODY)
    assert not [name for name, value in made.items() if KEYS.secret_key in value]


def test_a_google_token_goes_as_its_library_wrote_it() -> None:
    token = GoogleToken({"authorization": "Bearer ya29.secret", "x-goog-user-project": "p"})
    made = sign(Cloud(Platform.VERTEX, "eu", "p"), token, method="POST", url=URL, headers={"a": "b"}, body=BODY)
    assert made == {"a": "b", "authorization": "Bearer ya29.secret", "x-goog-user-project": "p"}


def test_enough_of_each_secret_is_hidden_that_the_rest_is_of_no_use() -> None:
    long = "x" * 1000 + "y" * 64
    assert hidden_parts(AwsKeys("id", "secret", long)) == ("secret", "y" * 64)
    assert hidden_parts(GoogleToken({"authorization": f"Bearer {long}", "x-goog-user-project": "p"})) == ("y" * 64,)
    assert "secret" not in repr(AwsKeys("id", "secret", long))
    assert "secret" not in repr(Cloud(Platform.VERTEX, "eu", "p", credential=GoogleToken({"a": "secret"})))
