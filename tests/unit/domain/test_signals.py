"""Signals and collections as values."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.signals import CollectionStatus, FailedCheck, OpenIssue, Signal, SignalKind, Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def signal(details: OpenIssue | FailedCheck) -> Signal:
    return Signal(repository="a/b", key="1", version="v", title="t", url="u", updated_at=NOW, details=details)


def test_a_signals_kind_is_that_of_its_details_and_its_ref_names_it() -> None:
    issue = signal(OpenIssue(number=1, author="ann"))
    assert (issue.kind, issue.ref) == (SignalKind.OPEN_ISSUE, "open_issue:1")


def test_a_signal_survives_json_with_the_right_details() -> None:
    failed = signal(FailedCheck(check="c", conclusion="failure", branch="b", head_sha="s", on_default_branch=True))
    again = Signal.model_validate(failed.model_dump(mode="json"))
    assert again == failed
    assert isinstance(again.details, FailedCheck)


def test_details_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        Signal.model_validate({**signal(OpenIssue(number=1, author="a")).model_dump(), "details": {"kind": "weather"}})


@pytest.mark.parametrize("source", Source)
def test_each_source_yields_a_kind_or_keys_of_its_own(source: Source) -> None:
    assert source.key_prefix == "repository_tasks/" or source.value.startswith(source.kind.value)
    assert len({(source.kind, source.key_prefix) for source in Source}) == len(Source)


def test_only_fresh_and_unchanged_readings_had_an_answer() -> None:
    assert [status.value for status in CollectionStatus if status.source_answered] == ["fresh", "unchanged"]
