"""The call log: what it keeps, its bounds, and what it tells after a kill."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from squire_pipelines.gateway.call_log import MAX_BODY_BYTES, SLOT_BYTES, CallLog, read_calls, totals_of
from squire_pipelines.gateway.model import GatewayTotals, RunningCall, Tokens
from squire_pipelines.secrets.secret import Secret

UNFINISHED = """
import os, signal, sys
from pathlib import Path
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.model import RunningCall, Tokens
log = CallLog(Path(sys.argv[1]), "attempt")
calls = [RunningCall(path="/v1/chat/completions", call_id=log.next_id(), model="small", forwarded=True) for _ in "ab"]
for call in calls:
    call.tokens = Tokens(input=10, output=0, estimated=True)
    call.reserved, call.reserved_usd = Tokens(input=40, output=500), 0.75
    log.begin(call)
calls[0].tokens = Tokens(input=10, output=7, estimated=True)
calls[0].cost_usd = 0.25
log.progress(calls[0])
log.end(calls[1], calls[1].record(0.5))
os.kill(os.getpid(), signal.SIGKILL)
"""


def running(log: CallLog, output: int = 0) -> RunningCall:
    tokens = Tokens(input=3, output=output)
    return RunningCall(path="/v1/messages", call_id=log.next_id(), model="ü" * 300, tokens=tokens, forwarded=True)


def test_calls_that_are_over_are_read_back(tmp_path: Path) -> None:
    log = CallLog(tmp_path, "t1-1")
    call = running(log, 4)
    log.begin(call)
    log.end(call, call.record(1.5))
    (read,) = read_calls(tmp_path)
    assert read == call.record(1.5)
    assert read.call_id.startswith("t1-1:")
    assert totals_of(tmp_path) == GatewayTotals(7, 0.0, 1)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}
    log.close()


def test_what_was_under_way_at_a_kill_is_read_back_once(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", UNFINISHED, str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == -9
    calls = {call.error: call for call in read_calls(tmp_path)}
    assert set(calls) == {None, "interrupted"}
    cut = calls["interrupted"]
    # What it had reserved: seven tokens passed, and nobody knows how many more the provider wrote.
    assert (cut.input_tokens, cut.output_tokens, cut.cost_usd, cut.estimated) == (10, 500, 0.75, True)
    assert totals_of(tmp_path) == GatewayTotals(520, 0.75, 2)
    assert [call.call_id for call in read_calls(tmp_path)] == [call.call_id for call in read_calls(tmp_path)]


def test_calls_of_a_gateway_that_lives_are_left_to_it(tmp_path: Path) -> None:
    log = CallLog(tmp_path, "a")
    call = running(log)
    log.begin(call)
    assert list(read_calls(tmp_path)) == []
    log.close()
    assert [logged.error for logged in read_calls(tmp_path)] == ["interrupted"]


def test_slots_are_used_again(tmp_path: Path) -> None:
    log = CallLog(tmp_path, "a")
    for _ in range(5):
        call = running(log)
        log.begin(call)
        log.progress(call)
        log.end(call, call.record(0))
    (slots,) = tmp_path.glob("*.open")
    assert slots.stat().st_size == SLOT_BYTES
    log.progress(call)  # over: nothing to be written
    assert slots.read_bytes().strip() == b""
    log.close()


def test_the_log_is_bounded_but_for_calls_that_used_tokens(tmp_path: Path) -> None:
    log = CallLog(tmp_path, "a", max_bytes=1000)
    for _ in range(50):
        refused = RunningCall(path="/v1/files", call_id=log.next_id(), error="path")
        log.end(refused, refused.record(0))
    call = running(log)
    log.end(call, call.record(0))
    (lines,) = tmp_path.glob("*.jsonl")
    assert lines.stat().st_size < 3400
    assert [logged.call_id for logged in read_calls(tmp_path) if logged.forwarded] == [call.call_id]
    log.close()


@pytest.mark.parametrize("bodies", [True, False])
def test_bodies_are_kept_only_when_asked_for_and_bounded(tmp_path: Path, bodies: bool) -> None:  # noqa: FBT001 - a case
    log = CallLog(tmp_path, "a", max_bytes=500, bodies=bodies)
    call = running(log)
    for _ in range(20):
        log.body(call, "request", b"private words")
    log.close()
    kept = list(tmp_path.glob("*.bodies"))
    assert bool(kept) is bodies
    if bodies:
        lines = kept[0].read_text().splitlines()
        assert json.loads(lines[0]) == [call.call_id, "request", "private words"]
        assert 1 <= len(lines) < 20


def test_bodies_are_cut_and_have_no_secrets(tmp_path: Path) -> None:
    Secret("correct-horse-battery")
    log = CallLog(tmp_path, "a", bodies=True)
    call = running(log)
    log.body(call, "request", b"key correct-horse-battery" + b"x" * (2 * MAX_BODY_BYTES))
    log.close()
    (kept,) = tmp_path.glob("*.bodies")
    _, _, text = json.loads(kept.read_text())
    assert text.startswith("key [redacted]xxx")
    assert text.endswith(f" … ({2 * MAX_BODY_BYTES + len('key correct-horse-battery')} bytes)")
    assert len(text) < MAX_BODY_BYTES + 100


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    log = CallLog(tmp_path, "a")
    call = running(log)
    log.end(call, call.record(0))
    log.close()
    (lines,) = tmp_path.glob("*.jsonl")
    with lines.open("ab") as file:
        file.write(b'{"half": \n[]\n{"path": 1}\n')
    (slots,) = tmp_path.glob("*.open")
    with slots.open("wb") as file:
        file.write(b"{torn")
    assert [logged.call_id for logged in read_calls(tmp_path)] == [call.call_id]
    slots.unlink()
    assert len(list(read_calls(tmp_path))) == 1
