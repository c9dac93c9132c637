"""Whose figure of a call's cost counts."""

import pytest

from squire_pipelines.domain.cost_sources import CostSource, is_stated


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://openrouter.ai/api/v1", True),
        ("https://api.x.ai/v1", True),
        ("https://API.Perplexity.AI", True),
        ("https://openrouter.ai.example.com/v1", False),
        ("https://notx.ai/v1", False),
        ("https://api.openai.com/v1", False),
        ("http://localhost:4000/v1", False),
        ("no address", False),
        (None, False),
    ],
)
def test_by_default_those_are_believed_that_document_their_figure(url: str | None, *, expected: bool) -> None:
    assert is_stated(CostSource.AUTO, url) is expected
    assert is_stated(CostSource.STATED, url)
    assert not is_stated(CostSource.CALCULATED, url)
