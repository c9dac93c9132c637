from datetime import UTC, datetime
from types import SimpleNamespace

from squire_pipelines.cli.tasks import columns_at, columns_within

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_narrow_terminal_gets_a_pull_requests_number_in_place_of_its_link() -> None:
    columns = columns_within(80, NOW)
    assert not {"attempts", "outcome"} & set(columns)
    number, cause = columns["pull request"], columns["cause"]
    assert callable(number)
    assert callable(cause)
    merged = SimpleNamespace(pr_number=7, outcome="merged", status="succeeded", cause="completed")
    assert (number(merged), cause(merged)) == ("#7 merged", None)
    failed = SimpleNamespace(pr_number=None, outcome=None, status="failed", cause="timeout")
    assert (number(failed), cause(failed)) == (None, "timeout")


def test_a_wide_terminal_and_a_pipe_get_every_column() -> None:
    assert list(columns_within(200, NOW)) == list(columns_at(NOW))
