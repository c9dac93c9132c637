"""Fixtures for the gateway: a provider, and gateways before it."""

from collections.abc import Iterator

import pytest

from tests.support.logs import stream
from tests.support.provider import AnswerWith, DirectedProvider, OpenGateway, gateway_opener, plain, serve_upstream

__all__ = ["answer_with", "open_gateway", "stream", "upstream"]


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        yield made


@pytest.fixture
def open_gateway(upstream: DirectedProvider) -> Iterator[OpenGateway]:
    with gateway_opener(upstream) as opener:
        yield opener


@pytest.fixture
def answer_with(upstream: DirectedProvider) -> AnswerWith:
    def set_answer(status: int, body: object, headers: dict[str, str] | None = None) -> None:
        upstream.answer = plain(status, body, headers)

    return set_answer
