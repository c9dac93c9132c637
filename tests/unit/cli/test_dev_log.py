"""The logs in `squire dev`: one prefix for each writer, and whole lines."""

import pytest

from squire_pipelines.cli.dev_log import DevLog, writer_of
from squire_pipelines.home import Home


@pytest.mark.parametrize(
    ("source", "writer"),
    [
        ("run/code-server.log", "code-server"),
        ("run/daemon.log.2", "daemon"),
        ("dagster/storage/0a1b2c3d-4e5f/compute_logs/abc.err", "run 0a1b2c3d"),
        ("attempts/t1m8kzm-2/agent.log", "t1m8kzm-2"),
    ],
)
def test_a_line_is_of_a_process_a_run_or_an_attempt(source: str, writer: str) -> None:
    assert writer_of(source) == writer


def test_what_is_added_is_shown_whole_with_a_plain_prefix_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    home = Home.from_environment()
    home.run.mkdir(parents=True)
    log = home.run / "daemon.log"
    log.write_text("before\n", encoding="utf-8")
    shown = DevLog(home)
    long = "x" * 1500
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{long}\nTraceback (most recent call last):\n  File one\nValueError: no\n")
    shown.look()
    shown.look()
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("daemon      | ") for line in lines)
    assert sum(long in line for line in lines) == 1
    assert not any("before" in line or "\x1b" in line for line in lines)
