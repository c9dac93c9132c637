import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squire_worker.contract import EXIT_CODES, Attempt, FailedError, Paths, Result
from squire_worker.processes import TerminatedError, Termination, capture

GOOD: dict[str, Any] = {
    "schema": 1,
    "attempt_id": "a",
    "repository": "acme/sample",
    "base_ref": "main",
    "base_sha": "0" * 40,
    "branch": "squire/task-1",
    "bot_name": "bot",
    "bot_email": "bot@example.invalid",
    "commit_message": "Do it",
    "agent": {"kind": "command", "argv": ["true"], "environment": {}, "files": {}, "version": []},
}


def test_an_attempt_is_read_whole_and_newer_fields_are_ignored() -> None:
    attempt = Attempt.parse(json.dumps({**GOOD, "something_newer": 1}))
    assert (attempt.kind, attempt.argv, attempt.files, attempt.branch) == (
        "command",
        ("true",),
        {},
        "squire/task-1",
    )
    assert attempt.identity()["GIT_AUTHOR_NAME"] == attempt.identity()["GIT_COMMITTER_NAME"] == "bot"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": 3}, "schema 1 or 2"),
        ({"agent": None}, "schema 1"),
        ({"attempt_id": ""}, "attempt_id"),
        ({"bot_name": 3}, "bot_name"),
        ({"base_sha": "main"}, "base_sha"),
        ({"agent": {"argv": ["x"]}}, "agent.kind"),
        ({"agent": {"kind": "x", "argv": []}}, "agent.argv"),
        ({"agent": {"kind": "x", "argv": [""]}}, "agent.argv"),
        ({"agent": {"kind": "x", "argv": "true"}}, "agent.argv"),
        ({"agent": {"kind": "x", "argv": [1]}}, "agent.argv"),
        ({"agent": {"kind": "x", "argv": ["x"], "environment": {"A": 1}}}, "agent.environment"),
        ({"agent": {"kind": "x", "argv": ["x"], "environment": []}}, "agent.environment"),
        ({"agent": {"kind": "x", "argv": ["x"], "files": {"../x": ""}}}, "agent.files"),
        ({"agent": {"kind": "x", "argv": ["x"], "files": {"/etc/x": ""}}}, "agent.files"),
        ({"agent": {"kind": "x", "argv": ["x"], "files": {"a/../b": ""}}}, "agent.files"),
        ({"agent": {"kind": "x", "argv": ["x"], "version": "x"}}, "agent.version"),
        ({"agent": {"kind": "x", "argv": ["x"], "stdin": 1}}, "agent.stdin"),
        ({"agent": {"kind": "x", "argv": ["x"], "home": {"../x": ""}}}, "agent.home"),
        ({"agent": {"kind": "x", "argv": ["x"], "home": {"/etc/x": ""}}}, "agent.home"),
        ({"agent": {"kind": "x", "argv": ["x"], "home": {".codex/x": 1}}}, "agent.home"),
        ({"agent": {"kind": "x", "argv": ["x"], "exclude": ["/x"]}}, "agent.exclude"),
        ({"agent": {"kind": "x", "argv": ["x"], "exclude": ["**"]}}, "agent.exclude"),
        ({"agent": {"kind": "x", "argv": ["x"], "exclude": "x"}}, "agent.exclude"),
        ({"agent": {"kind": "x", "argv": ["x"], "restore": ["a/../../x"]}}, "agent.restore"),
        ({"agent": {"kind": "x", "argv": ["x"], "restore": [".git/config"]}}, "agent.restore"),
        ({"agent": {"kind": "x", "argv": ["x"], "restore": ["a/.GIT"]}}, "agent.restore"),
        ({"agent": {"kind": "x", "argv": ["x"], "restore": ["*"]}}, "agent.restore"),
        ({"agent": {"kind": "x", "argv": ["x"], "restore": [1]}}, "agent.restore"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(FailedError) as caught:
        Attempt.parse(json.dumps({**GOOD, **changes}))
    assert caught.value.code == "input_invalid"
    assert named in caught.value.message


def test_the_fields_of_the_second_schema_are_read() -> None:
    agent = {
        **GOOD["agent"],
        "stdin": "@SQUIRE_PROMPT@",
        "home": {".a/b": "c"},
        "exclude": [".a*"],
        "restore": [".b/c"],
    }
    attempt = Attempt.parse(json.dumps({**GOOD, "schema": 2, "agent": agent}))
    assert (attempt.stdin, attempt.home, attempt.exclude, attempt.restore) == (
        "@SQUIRE_PROMPT@",
        {".a/b": "c"},
        (".a*",),
        (".b/c",),
    )
    older = Attempt.parse(json.dumps(GOOD))
    assert (older.stdin, older.home, older.exclude, older.restore) == (None, {}, (), ())


@given(
    st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))
)
def test_no_text_makes_it_fail_in_another_way(text: str) -> None:
    with pytest.raises(FailedError):
        Attempt.parse(text)


def test_every_failure_has_an_exit_code_that_no_agent_is_likely_to_use() -> None:
    assert set(EXIT_CODES.values()) == {120, 121, 122, 123, 126, 127, 143}


def test_inputs_are_bounded_and_utf_8(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path)
    (tmp_path / "huge").write_bytes(b"x" * 4_000_001)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("huge", "binary", "missing"):
        with pytest.raises(FailedError, match=name):
            paths.read(name)


def test_a_result_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("old", encoding="utf-8")
    result = Result()
    result.fail("git_failed", "why")
    result.write(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert document["schema"] == 1
    assert document["error"] == {"code": "git_failed", "message": "why"}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.fixture
def _signals() -> Any:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
def test_a_signal_while_a_child_starts_is_held_back_until_it_can_be_handled() -> None:
    termination = Termination()
    with termination.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(TerminatedError):
        termination.check()


@pytest.mark.usefixtures("_signals")
def test_only_the_first_signal_raises() -> None:
    termination = Termination()
    termination.check()
    with pytest.raises(TerminatedError):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


def test_output_of_our_commands_is_text_whatever_bytes_come(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'a\\xff\\n'); sys.exit(4)"]
    assert capture(command, {}, tmp_path, 30) == (4, "a\N{REPLACEMENT CHARACTER}", "")
