"""`squire doctor` about the endpoint to which traces are sent."""

import sys

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.table import check_tracing
from tests.support.cli import Squire
from tests.support.otlp_receiver import Manner, receiving


def diagnoses(squire: Squire, endpoint: str | None) -> list[Diagnosis]:
    squire.config(f'[tracing]\nendpoint = "{endpoint}"\n' if endpoint else "")
    context = CliContext()
    context.config = squire.home / "config.toml"
    return list(check_tracing(context))


@pytest.mark.parametrize(
    ("manner", "status", "says"),
    [(Manner.TAKES, "ok", "takes traces"), (401, "warn", "HTTP 401")],
)
def test_the_endpoint_is_asked_with_a_request_that_has_no_spans(
    squire: Squire, manner: Manner | int, status: str, says: str
) -> None:
    with receiving(manner) as receiver:
        (diagnosis,) = diagnoses(squire, receiver.url)
        assert len(receiver.next().resource_spans) == 0
    assert diagnosis.status == status
    assert says in diagnosis.message


def test_nothing_is_said_where_traces_are_sent_nowhere(squire: Squire) -> None:
    assert diagnoses(squire, None) == []


def test_a_missing_package_is_named(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.proto", None)
    with receiving() as receiver:
        (diagnosis,) = diagnoses(squire, receiver.url)
        assert receiver.requests.empty()
    assert diagnosis.status == "warn"
    assert "squire-pipelines[otel]" in (diagnosis.next_step or "")
