"""Requests to models by the hundred thousand; tests/unit/gateway/test_request_body.py has the short version."""

import random
from collections import Counter

import pytest

from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.request_body import rebuild_request
from tests.support import model_requests

pytestmark = pytest.mark.soak
REQUESTS = 100_000


@pytest.mark.timeout(1200)
def test_a_hundred_thousand_requests_upstream_name_nothing_elsewhere_and_are_what_the_providers_publish() -> None:
    generator = random.Random(20261127)  # noqa: S311 - not for secrets
    results: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    while paths.total() < REQUESTS:
        path, raw = model_requests.generate(generator)
        try:
            forward = rebuild_request("POST", path, raw, {"small"})
        except RefusalError as refusal:
            results[refusal.code] += 1
            continue
        paths[path] += 1
        body = forward.body(forward.output if forward.names_output else None)
        assert model_requests.breaks(path, body) == []
        assert model_requests.schema_error(path, body) is None
    print(dict(results), dict(paths))  # noqa: T201 - how many were refused, and which passed
    assert set(paths) == set(model_requests.PATHS)
