"""The tables of the guide to webhooks, and of the page about other senders, say what the code has."""

import re
from collections.abc import Iterator

import pytest

from squire_pipelines.domain.deliveries import DeliveryState, Effect
from squire_pipelines.domain.hook_schemes import HmacScheme, StandardScheme, TokenScheme
from squire_pipelines.github.webhook_state import PATH
from squire_pipelines.metrics import families
from squire_pipelines.sections.delivery_filters import MAX_PATTERNS, MAX_RULES, DeliveryFilterSettings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.sources.hook_protocol import MAX_FACTS_OF_DELIVERY, MAX_TITLE, HookFact, HookSource
from squire_pipelines.sources.protocol import MAX_BODY
from squire_pipelines.webhooks.replay import ReplayVerdict
from tests.support.house import ROOT

GUIDE, SENDERS = (
    (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("guide/webhooks.md", "reference/hooks.md")
)
_CODE = re.compile(r"`([^`]+)`")
_JOINT = re.compile(r'"\s*\n\s*f?"')  # of two texts that Python joins
_MESSAGE_HEAD = "| message | cause | next step |"


def cells(page: str, head: str) -> Iterator[list[str]]:
    """Yield the rows of the tables of a page that begin with a head."""
    for table in page.split(head)[1:]:
        for line in table.splitlines()[2:]:
            if not line.startswith("|"):
                break
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(page: str, head: str) -> set[str]:
    """Return what the first column of a table names."""
    return {name for row in cells(page, head) for name in _CODE.findall(row[0])}


def test_the_guide_has_each_effect_state_verdict_and_key_of_a_rule() -> None:
    assert names(GUIDE, "| effect | is |") == set(Effect)
    assert names(GUIDE, "| state | means |") == set(DeliveryState)
    assert names(GUIDE, "| verdict | means |") == set(ReplayVerdict)
    assert names(GUIDE, "| key | matches |") == DeliveryFilterSettings.model_fields.keys() - {"name"}
    assert f"at most {MAX_RULES} rules, with lists of at most {MAX_PATTERNS} entries" in GUIDE


@pytest.mark.parametrize(("page", "also"), [(GUIDE, set()), (SENDERS, {"408"})], ids=["guide", "senders"])
def test_each_answer_of_the_receiver_is_explained_and_counted(page: str, also: set[str]) -> None:
    (label,) = families.DELIVERIES_REFUSED.labels
    explained = {status for row in cells(page, "| answer | means |") for status in row[0].split(", ")}
    assert explained | also == {"200", "202", *label.values}


def test_the_proxy_of_the_guide_leads_to_the_receiver_and_takes_what_that_takes() -> None:
    settings = WebhookSettings()
    (proxy,) = re.findall(r"```nginx\n(.*?)```", GUIDE, re.DOTALL)
    assert set(re.findall(r"proxy_pass http://127.0.0.1:(\d+);", proxy)) == {str(settings.port)}
    assert f"client_max_body_size  {settings.max_body // 2**20}m;" in proxy
    assert f"location = {PATH} " in proxy
    assert re.findall(r"proxy_read_timeout +(\d+)s", proxy) == ["10"]


def test_each_message_that_is_explained_is_one_of_the_code_or_shown_by_a_test() -> None:
    folders = (ROOT / "squire_pipelines", ROOT / "tests" / "integration", ROOT / "tests" / "unit" / "domain")
    files = (path for folder in folders for path in folder.rglob("*.py"))
    texts = " ".join(_JOINT.sub("", path.read_text(encoding="utf-8")) for path in files)
    messages = [message for row in cells(GUIDE, _MESSAGE_HEAD) for message in _CODE.findall(row[0])]
    assert len(messages) > 20
    assert [message for message in messages if not all(part.strip(" '") in texts for part in message.split("…"))] == []


def test_the_page_of_senders_has_each_key_of_a_scheme_each_field_of_a_fact_and_its_bounds() -> None:
    schemes = {scheme.model_fields["kind"].default: scheme for scheme in (HmacScheme, StandardScheme, TokenScheme)}
    keys = {
        row[0].strip("`"): set(_CODE.findall(row[2])) for row in cells(SENDERS, "| `scheme` | a request has | keys |")
    }
    assert {kind: keys[kind] & scheme.model_fields.keys() for kind, scheme in schemes.items()} == {
        kind: scheme.model_fields.keys() - {"kind"} for kind, scheme in schemes.items()
    }
    assert names(SENDERS, "| field | is |") == HookFact.model_fields.keys()
    assert {name.partition("(")[0] for name in names(SENDERS, "| member | is |")} == {
        *HookSource.__annotations__,
        "read",
    }
    assert f"a title has {MAX_TITLE} characters, a body {MAX_BODY:,}" in SENDERS
    assert f"at most {MAX_FACTS_OF_DELIVERY} may stand in its place" in SENDERS
