"""Which answers of a provider are for the user to change, and the one sentence about each."""

import pytest

from squire_pipelines.domain.provider_faults import FaultKind, describe_fault, fault_kind

OPENAI_QUOTA = '{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}'
OPENAI_MODEL = '{"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}'
ANTHROPIC_CREDIT = '{"type": "error", "error": {"message": "Your credit balance is too low to access the API"}}'
ANTHROPIC_MODEL = '{"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}}'
GOOGLE_KEY = '{"error": {"message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}'
GOOGLE_RATE = '{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota"}}'
GOOGLE_MODEL = '{"error": {"code": 404, "message": "models/x is not found for API version v1beta"}}'


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (401, "", FaultKind.KEY),
        (403, "forbidden", FaultKind.KEY),
        (400, GOOGLE_KEY, FaultKind.KEY),
        (402, "", FaultKind.QUOTA),
        (429, OPENAI_QUOTA, FaultKind.QUOTA),
        (400, ANTHROPIC_CREDIT, FaultKind.QUOTA),
        (404, OPENAI_MODEL, FaultKind.MODEL),
        (403, OPENAI_MODEL, FaultKind.MODEL),
        (404, ANTHROPIC_MODEL, FaultKind.MODEL),
        (404, GOOGLE_MODEL, FaultKind.MODEL),
        (404, "<html>Not Found</html>", FaultKind.ADDRESS),
        (405, "", FaultKind.ADDRESS),
        (429, "slow down", None),
        (429, GOOGLE_RATE, None),
        (400, '{"error": {"message": "max_tokens is too large"}}', None),
        (500, OPENAI_QUOTA, None),
        (503, "", None),
        (200, OPENAI_QUOTA, None),
    ],
)
def test_an_answer_is_the_users_to_change_only_where_nothing_else_helps(
    status: int, text: str, kind: FaultKind | None
) -> None:
    assert fault_kind(status, text) is kind


@pytest.mark.parametrize("kind", list(FaultKind))
def test_each_fault_names_the_provider_and_the_next_step(kind: FaultKind) -> None:
    url = "https://models.test/v1"
    fault = describe_fault(kind, provider="own", secret="own-key", model="big", base_url=url, status=404)
    assert "provider own" in fault.message
    assert "(HTTP 404)" in fault.message
    is_of_key = kind in {FaultKind.KEY, FaultKind.QUOTA}
    assert ("`squire secrets set own-key`" in fault.hint) is is_of_key
    assert str(fault) == f"{fault.message} ({fault.hint})"


def test_a_key_that_is_nowhere_is_told_without_an_answer() -> None:
    fault = describe_fault(FaultKind.KEY, provider="own", secret="own-key", model="big", base_url=None)
    assert fault.message == "the provider own needs the key own-key, which is not set"
    assert fault.hint == "run `squire secrets set own-key`"
