"""What a failed program seems to lack."""

import pytest

from squire_pipelines.agents.failure_hints import failure_hint
from tests.support.attempts import MIB, small_limits

LIMITS = small_limits(home=32 * MIB)


@pytest.mark.parametrize(
    "line",
    [
        "Error: stdin is not a terminal",
        "the input device is not a TTY",
        "ERROR Raw mode is not supported on the current process.stdin, which Ink uses",
        "bash: cannot set terminal process group (-1): Inappropriate ioctl for device",
        "sh: 1: cannot open /dev/tty: No such device or address",
        "this command requires an interactive terminal",
    ],
)
def test_a_program_that_wants_a_terminal_is_told(line: str) -> None:
    assert "asks for a terminal" in failure_hint(["before", line], LIMITS)


@pytest.mark.parametrize(
    "line", ["OSError: [Errno 28] No space left on device: '/home/agent/x'", "Error: ENOSPC: write"]
)
def test_a_full_disk_names_the_limits(line: str) -> None:
    hint = failure_hint([line], LIMITS)
    assert "raise the one of agent.limits that it fills (home 34 MB, workspace 67 MB, tmp 34 MB)" in hint


def test_another_version_names_both_and_the_command() -> None:
    hint = failure_hint([], LIMITS, name="codex", version="codex-cli 9.9.9", checked_version="0.171.0")
    assert hint == (
        "it is version codex-cli 9.9.9, and this Squire was tried with 0.171.0: `squire agents build codex`"
    )
    assert failure_hint([], LIMITS, name="codex", version="codex-cli 0.171.0", checked_version="0.171.0") == ""
    assert failure_hint([], LIMITS, version="1.0") == ""


def test_events_of_another_form_are_told_and_ordinary_failures_have_no_hint() -> None:
    assert "none of its 7 events" in failure_hint([], LIMITS, unread_events=7)
    assert failure_hint(["Traceback (most recent call last):", "ValueError: x"], LIMITS) == ""
