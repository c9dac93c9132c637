import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from squire_pipelines.domain.endings import Cause
from tests.support.cli import SampleData, Squire
from tests.support.hostile_text import hidden_characters

TIMEOUT_S = 60
# A test run in the background has SIGINT ignored, which a child would inherit.
SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from squire_pipelines.cli.main import main
main()
"""


def _on_a_terminal(squire: Squire, *words: str, typed: str = "", interrupt_at: str = "") -> tuple[int, str]:
    ours, terminal = pty.openpty()
    environment = os.environ | {"SQUIRE_HOME": str(squire.home), "COLUMNS": "160", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        close_fds=True,
    )
    os.close(terminal)
    os.write(ours, typed.encode())
    seen = b""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        if not select.select([ours], [], [], 1)[0]:
            # Again if need be: a signal in the moment before the read begins is not noticed until the next one.
            if interrupt_at and seen.endswith(interrupt_at.encode()):
                process.send_signal(signal.SIGINT)
            continue
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        seen += piece
    else:
        process.kill()
    os.close(ours)
    return process.wait(timeout=TIMEOUT_S), seen.decode()


def test_watching_on_a_terminal_is_a_table_that_ends(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED, "Fix it")
    code, seen = _on_a_terminal(squire, "tasks", "watch", "--interval", "0.2")
    assert code == 0
    assert task_id in seen
    assert "1 succeeded" in seen


@pytest.mark.slow
def test_start_asks_on_a_terminal(squire: Squire, samples: SampleData) -> None:
    samples.task(approved=False)
    code, seen = _on_a_terminal(squire, "tasks", "start", typed="n\n")
    assert code == 1
    assert "Approve 1 task?" in seen
    assert "aborted" in seen
    assert squire.json("tasks", "list")[0]["status"] == "proposed"
    code, seen = _on_a_terminal(squire, "tasks", "start", typed="y\n")
    assert code == 0
    assert squire.json("tasks", "list")[0]["status"] == "ready"


@pytest.mark.slow
def test_restore_asks_with_the_path_as_it_is_spelt(squire: Squire, samples: SampleData) -> None:
    file = squire.home / "Backup.sqlite"
    squire.ok("ledger", "backup", str(file))
    code, seen = _on_a_terminal(squire, "ledger", "restore", str(file), typed="n\n")
    assert code == 1
    assert f"Put {file} (0 tasks) in the place of {squire.home / 'ledger.sqlite'}?" in seen
    assert samples.ledger


def test_init_asks_on_a_terminal(squire: Squire) -> None:
    code, seen = _on_a_terminal(squire, "init", typed="acme/shop\n\n")
    assert code == 0, seen
    assert '"acme/shop"' in (squire.home / "config.toml").read_text()


@pytest.mark.slow
def test_ctrl_c_at_a_question_is_130(squire: Squire) -> None:
    code, seen = _on_a_terminal(squire, "init", interrupt_at="repository: ")
    assert code == 130, seen
    assert "interrupted" in seen
    assert not (squire.home / "config.toml").exists()


@pytest.mark.slow
def test_a_stranger_moves_no_cursor_and_sets_no_title(squire: Squire, samples: SampleData) -> None:
    hostile = "Fix\x1b]0;owned\x07 \x1b[2J\x9b3;4H it\x1b]8;;https://evil.example\x1b\\"
    task_id = samples.ended(Cause.AGENT_ERROR, hostile, message=hostile)
    for words in (
        ("tasks", "list"),
        ("tasks", "show", task_id),
        ("tasks", "watch", "--once"),
        ("tasks", "list", "--json"),
        ("history", "publish"),
        ("history", "sql", "FROM tasks"),
        ("history", "sql", "--csv", "FROM tasks"),
        ("--config", "/nowhere/\x1b]0;owned\x07\x1b[2Jfile", "-v", "tasks", "list"),
        ("tasks", "show", "none\x1b]0;owned\x07"),
    ):
        _, seen = _on_a_terminal(squire, *words)
        # Colours, ends of lines, and the line that says how a long command goes and is wiped away are our own.
        assert hidden_characters(re.sub("\x1b\\[[0-9;]*m|\r\n|\r\x1b\\[K", "", seen)) == [], words
