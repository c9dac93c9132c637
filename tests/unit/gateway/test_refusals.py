"""A refusal ends a program where nothing but the user can change anything, in the form of the program's interface."""

import json

import pytest

from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import ROWS, RefusalError

FINAL = {"budget", "price_unknown", "model", "protocol", "bad_request", "not_passed_on"} | {
    "provider_down",
    "provider_refused",
}
MAY_PASS = {"busy", "timeout", "upstream_unreachable", "response_too_large", "redirect", "gateway_failed"} | {
    "provider_limit"
}


@pytest.mark.parametrize("code", sorted(ROWS))
def test_what_stays_is_a_400_and_what_may_pass_is_asked_again(code: str) -> None:
    refusal = RefusalError(code, "Stop working.")
    is_told = (b"x-should-retry", b"false") in refusal.headers
    if code in FINAL:
        assert (refusal.status, is_told) == (400, True)
    elif code in MAY_PASS:
        assert refusal.status >= 502
        assert not is_told
    else:
        assert refusal.status in {403, 404, 405, 413, 426}
    assert refusal.status not in {401, 402, 429}, "agents' programs ask again, or speak of a login"


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("code", sorted(ROWS))
def test_each_interface_gets_the_sentence_and_the_code_in_its_own_form(protocol: Protocol, code: str) -> None:
    document = json.loads(RefusalError(code, 'He said "no".\n').body(protocol))
    error = document["error"]
    assert error["message"] == 'He said "no".\n'
    if protocol is Protocol.GEMINI:
        assert error["code"] == ROWS[code].status
        assert error["details"][0]["reason"] == code.upper()
    else:
        assert error["code"] == code
        assert (document.get("type") == "error") is (protocol is Protocol.ANTHROPIC)
    if protocol is Protocol.OPENAI:
        assert error["type"] == "squire_gateway", "after a quota's type, programs ask again"


def test_a_stream_ends_as_its_interface_ends_one() -> None:
    refusal = RefusalError("budget", "Stop working.")
    assert refusal.event(Protocol.ANTHROPIC).startswith(b"event: error\ndata: {")
    assert refusal.event(Protocol.OPENAI) == b"data: " + refusal.body() + b"\n\n"
    assert refusal.event(Protocol.GEMINI) == b"data: " + refusal.body(Protocol.GEMINI) + b"\n\n"
    name, data, *_ = refusal.event(Protocol.OPENAI, is_response=True).split(b"\n")
    failed = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: response.failed"
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "invalid_prompt", "message": "Stop working."}
