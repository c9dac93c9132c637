"""What a plan cost is recorded as the price library itself calculates it, in six forms of usage, all asks together."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.settings.model import load_settings
from tests.integration.planning.test_protocols import ANSWERS, PLACES, plan
from tests.support.billing import Bill, usage
from tests.support.model_requests import CHAT, GENERATE, MESSAGES
from tests.support.provider import plain, serve_upstream

FIRST, SECOND = Bill(1_000, 200, 0, 30, 10), Bill(1_900, 300, 0, 50, 0)
WRITTEN = Bill(1_000, 200, 70, 30, 0), Bill(1_900, 300, 40, 50, 0)


def without_details(bill: Bill) -> dict[str, Any]:
    return {"prompt_tokens": bill.asked, "completion_tokens": bill.output, "total_tokens": bill.tokens}


def deepseeks(bill: Bill) -> dict[str, Any]:
    hits = {"prompt_cache_hit_tokens": bill.cached, "prompt_cache_miss_tokens": bill.asked - bill.cached}
    return {**without_details(bill), "prompt_tokens_details": {"cached_tokens": bill.cached}, **hits}


def xais(bill: Bill) -> dict[str, Any]:
    thoughts = {"completion_tokens_details": {"reasoning_tokens": bill.thoughts}, "cost_in_usd_ticks": 5 * 10**7}
    return {**without_details(bill), "completion_tokens": bill.answer, **thoughts}


THOUGHT = Bill(1_000, 0, 0, 30, 94), Bill(1_900, 0, 0, 50, 40)
FORMATS: dict[str, tuple[str, str, str, Any, tuple[Bill, Bill]]] = {
    "OpenAI": ("openai", "gpt-4o", "usage", lambda bill: usage(CHAT, bill), (FIRST, SECOND)),
    "no details": ("openai", "mistral-large-latest", "usage", without_details, (FIRST, SECOND)),
    "DeepSeek": ("openai", "deepseek-chat", "usage", deepseeks, (FIRST, SECOND)),
    "xAI": ("openai", "grok-4", "usage", xais, THOUGHT),
    "Anthropic": ("anthropic", "claude-opus-4-6", "usage", lambda bill: usage(MESSAGES, bill), WRITTEN),
    "Gemini": ("gemini", "gemini-2.5-pro", "usageMetadata", lambda bill: usage(GENERATE, bill), (FIRST, SECOND)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_recorded_cost_is_that_of_the_price_library_with_every_ask(tmp_path: Path, name: str) -> None:
    protocol, model, field, report, bills = FORMATS[name]
    good = {**ANSWERS[protocol], "model": model, "modelVersion": model}
    wrong = json.loads(json.dumps(good).replace("open_issue:10", "open_issue:99"))
    answers = iter([plain(200, {**wrong, field: report(bills[0])}), plain(200, {**good, field: report(bills[1])})])
    calls: list[ModelCall] = []

    def answer_next(handler: BaseHTTPRequestHandler) -> None:
        next(answers)(handler)

    with serve_upstream() as upstream:
        upstream.answer = answer_next
        root = upstream.url.removesuffix("/v1")
        file = tmp_path / "config.toml"
        file.write_text(
            f'[providers.own]\nprotocol = "{protocol}"\nbase_url = "{root}{PLACES[protocol][0]}"\n'
            f'[planner]\nprovider = "own"\nmodel = "{model}"\nmax_retries = 1\ntimeout_s = 60\n',
            encoding="utf-8",
        )
        plan(load_settings(file), calls)
    (call,) = calls
    cached = name != "no details"
    expected = sum(
        calc_price(
            Usage(
                input_tokens=bill.asked,
                cache_read_tokens=bill.cached if cached else 0,
                cache_write_tokens=bill.written,
                output_tokens=bill.output,
            ),
            model_ref=model,
        ).total_price
        for bill in bills
    )
    assert call.asks == 2
    assert call.cost_usd == pytest.approx(float(expected), rel=1e-9)
    stated = 0.01 if name == "xAI" else None
    assert call.stated_usd == (pytest.approx(stated) if stated else None)
    assert call.cost_difference_usd == (pytest.approx(stated - float(expected)) if stated else None)
