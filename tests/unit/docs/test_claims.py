"""Each claim of docs/security.md and each promise names a test that there is, and no row is left without its claim."""

import pytest

from squire_pipelines.domain.canary import canary_for
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.request_body import MAX_VALUES
from squire_pipelines.sections.tasks import PublishingSettings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.server_connections import ConnectionLimits
from tests.support import claims
from tests.support.spellings import binary_spellings, rotated, text_spellings, unseen_spellings

SECURITY = (claims.ROOT / "docs/security.md").read_text(encoding="utf-8")
ARCHITECTURE = (claims.ROOT / "docs/reference/architecture.md").read_text(encoding="utf-8")
MANY = (claims.ROOT / "docs/guide/many-machines.md").read_text(encoding="utf-8")
PAGE = (claims.ROOT / "docs/reference/claims.md").read_text(encoding="utf-8")
CLAIMS = claims.tested(PAGE, "Claims")
PROMISES = claims.tested(PAGE, "Promises")
NO_PROMISES = claims.tested(PAGE, "Sentences that promise nothing")


def test_each_claim_of_the_security_page_has_a_row() -> None:
    known = (*CLAIMS, *NO_PROMISES)
    missing = [
        sentence for sentence, is_claim in claims.sentences(SECURITY) if is_claim and not sentence.startswith(known)
    ]
    assert missing == [], "docs/reference/claims.md names no test for these sentences"


def test_each_row_belongs_to_a_sentence_that_is_there() -> None:
    sentences = [sentence for sentence, _ in claims.sentences(SECURITY)]
    left = [begin for begin in (*CLAIMS, *NO_PROMISES) if not any(text.startswith(begin) for text in sentences)]
    assert left == [], "docs/security.md has no sentence that begins so"
    assert not set(CLAIMS) & set(NO_PROMISES)


def test_each_promise_has_a_row_and_each_row_a_promise() -> None:
    promises = claims.promises(ARCHITECTURE)
    assert len(promises) == len(PROMISES) == len([text for text in promises if text.startswith(tuple(PROMISES))])


def test_each_promise_says_how_it_holds_with_many_machines_and_which_test_shows_it() -> None:
    rows = claims.tested(MANY, "What the promises rest on here")
    promises = [text.removeprefix("**") for text in claims.promises(ARCHITECTURE)]
    assert len(rows) == len(promises)
    assert [text for text in promises if not text.startswith(tuple(rows))] == []
    assert [name for names in rows.values() for name in names if not claims.is_test(name)] == []


def test_each_test_that_is_named_is_there() -> None:
    named = [name for rows in (CLAIMS, PROMISES) for names in rows.values() for name in names]
    assert [name for name in named if not claims.is_test(name)] == []


def test_bounds_that_the_page_names_are_the_defaults() -> None:
    page = " ".join(SECURITY.split())
    gateway, receiver = GatewayLimits(), ConnectionLimits()
    for bound in (
        f"requests ({gateway.max_request_bytes // 2**20} MiB, {MAX_VALUES:,} commas and brackets)",
        f"answers ({gateway.max_response_bytes // 2**20} MiB)",
        f"calls ({gateway.max_calls:,} in an attempt, refused ones too)",
        f"concurrent calls ({gateway.max_concurrent}) and time ({gateway.call_s / 60:.0f} minutes each)",
        f"no answer for {receiver.answer_within_s:.0f} seconds is ended",
        f"connections at once ({receiver.per_address}), and all together {receiver.total:,}",
    ):
        assert bound in page
    judging = PublishingSettings()
    children = (
        f"each {judging.judge_memory // 2**30} GiB, {judging.judge_cpu_s:.0f} s and {judging.judge_timeout_s:.0f} s"
    )
    assert f"({children} by default)" in page
    assert WebhookSettings().connections_per_address == receiver.per_address


def test_the_page_says_how_many_ways_to_write_the_canary_are_found() -> None:
    canary = canary_for("t1-1")
    unseen = len([*unseen_spellings(canary)])
    hits = len([*text_spellings(canary), *binary_spellings(canary), *rotated(canary)])
    assert f"of the {hits + unseen} ways to write the canary that our tests try, {hits} are found" in SECURITY


@pytest.mark.parametrize(
    "text",
    [
        "One thing. It never does another.",
        "- It is bounded.\n- It is not.",
        "| ring | stops |\n|---|---|\n| this | that |",
        "| where | note |\n|---|---|\n| here | It refuses it. It says so. |",
    ],
)
def test_a_claim_is_seen_in_prose_lists_and_tables(text: str) -> None:
    assert [is_claim for _, is_claim in claims.sentences(text)].count(True) == 1


def test_a_test_that_is_not_there_is_none() -> None:
    assert claims.is_test("unit/docs/test_claims.py::test_a_test_that_is_not_there_is_none")
    assert not claims.is_test("unit/docs/test_claims.py::test_another")
    assert not claims.is_test("unit/docs/test_none.py::test_another")
