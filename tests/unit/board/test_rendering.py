"""What becomes of a value on a page, and that every template is whole."""

from datetime import UTC, datetime

from hypothesis import given

from squire_pipelines.board.rendering import make_environment, page_link, shown, web_link
from tests.support.hostile_text import HOSTILE, hidden_characters


@given(HOSTILE)
def test_no_value_brings_markup_or_what_is_not_shown_onto_a_page(text: str) -> None:
    page = make_environment().from_string('<p title="{{ value }}">{{ value }}</p>').render(value=f"<{text}")
    assert hidden_characters(page) == []
    assert page.count("<") == 2
    assert page.count('"') == 2


def test_a_secret_is_redacted_before_it_is_escaped() -> None:
    page = make_environment().from_string("{{ value }}").render(value="Authorization: Bearer abc&defghij<k")
    assert "defghij" not in page


def test_a_moment_is_shown_in_utc_and_nothing_as_nothing() -> None:
    assert shown(datetime(2026, 3, 1, 12, tzinfo=UTC)) == "2026-03-01 12:00:00 UTC"
    assert shown(None) == ""


def test_a_link_leads_to_the_web_or_nowhere() -> None:
    assert web_link("https://github.com/acme/shop/pull/1") == "https://github.com/acme/shop/pull/1"
    assert [web_link(url) for url in ("javascript:alert(1)", "data:text/html,x", "https://", None, "http://[")] == [
        ""
    ] * 5
    assert page_link("/tasks", {"status": "", "text": "a&b"}) == "/tasks?text=a%26b"


def test_every_template_can_be_read() -> None:
    environment = make_environment()
    for name in environment.list_templates():
        environment.get_template(name)
