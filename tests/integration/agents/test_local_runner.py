"""The local runner with real git, the real entrypoint and real processes."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.opencode import OpenCodeAgent
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.logs import OutputOptions
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.files import remove_tree
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.sections.agents import LimitSettings
from tests.support.attempts import ATTEMPT_ID, MIB, Origin, StopAfterStart, go_on, make_inputs, small_limits
from tests.support.model_server import ModelServer, Turn


def run_shell(origin: Origin, folder: Path, script: str, limits: LimitSettings | None = None) -> RunResult:
    return LocalRunner().run(prepared(origin, folder, script, limits), heartbeat=go_on)


def prepared(origin: Origin, folder: Path, script: str, limits: LimitSettings | None = None) -> AttemptInputs:
    return origin.prepared(folder, command=("sh", "-c", script), limits=limits)


def log_of(folder: Path) -> str:
    return (folder / "attempt" / "agent.log").read_text(encoding="utf-8")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def test_a_change_comes_back_as_a_bundle(origin: Origin, tmp_path: Path) -> None:
    run = run_shell(origin, tmp_path, "echo changed >> README.md; echo hello")
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.bundle == tmp_path / "attempt" / "keep" / "result.bundle"
    assert origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nchanged"
    assert run.result is not None
    assert run.ending.evidence.facts["committed_by_worker"] is True
    assert run.agent_started_at is not None
    assert run.image_digest is None
    assert "hello" in run.ending.evidence.log_tail
    assert run.ending.evidence.exit_code == 0
    assert run.ending.evidence.facts["runner"] == "local"
    assert {"start_s", "agent_s", "total_s", "workspace_in_s"} <= set(run.timings)
    assert [path.name for path in (tmp_path / "attempt").iterdir() if path.name.startswith("work-")] == []


@pytest.mark.parametrize(
    ("command", "cause", "exit_code"),
    [
        (("true",), Cause.NO_CHANGES, 0),
        (("sh", "-c", "echo half >> README.md; exit 3"), Cause.AGENT_ERROR, 3),
        (("no-such-agent",), Cause.AGENT_NOT_FOUND, 127),
        (("sh", "-c", "kill -9 $$"), Cause.KILLED, 137),
    ],
    ids=["no changes", "error", "not found", "killed"],
)
def test_each_ending_has_its_cause(
    origin: Origin, tmp_path: Path, command: tuple[str, ...], cause: Cause, exit_code: int
) -> None:
    run = LocalRunner().run(origin.prepared(tmp_path, command=command), heartbeat=go_on)
    assert run.ending.cause is cause, run.ending
    assert run.ending.evidence.exit_code == exit_code


@pytest.mark.slow
def test_the_wall_clock_ends_the_agent_and_all_its_children(origin: Origin, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; setsid sleep 100 & echo $! > {pids}; echo $$ >> {pids}; sleep 100"
    started: list[str] = []
    for limit in (1.5, 6, 24):  # a machine with much to do may not have started both within the first
        run = run_shell(origin, tmp_path / f"{limit}", script, small_limits(wall_clock_s=limit, grace_s=1))
        assert run.ending.cause is Cause.TIMEOUT
        assert run.ending.evidence.killed_by_us
        started = pids.read_text(encoding="utf-8").split() if pids.exists() else []
        if len(started) == 2:
            break
    assert len(started) == 2
    for pid in started:
        wait_until_gone(int(pid))


def test_what_an_agent_had_made_when_its_time_was_over_is_handed_out(origin: Origin, tmp_path: Path) -> None:
    script = "echo more >> README.md; echo ready; sleep 100"
    run = run_shell(origin, tmp_path, script, small_limits(wall_clock_s=4, grace_s=2))
    assert run.ending.cause is Cause.TIMEOUT
    assert run.ending.evidence.facts["stopped_for"] == "timeout"
    assert run.bundle is not None
    assert origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nmore"


STOPPED = '{"type": "step_finish", "sessionID": "s", "part": {"reason": "stop", "tokens": {"output": 5}}}'
GOES_ON = STOPPED.replace("stop", "tool-calls")
DENIED = '{"type": "error", "sessionID": "s", "error": {"name": "APIError", "data": {"message": "401"}}}'


def run_opencode(origin: Origin, folder: Path, script: str, *, wall_clock_s: float) -> RunResult:
    """Run a shell in the place of OpenCode, whose events it prints; it may linger for a second."""
    inputs = prepared(origin, folder, script, small_limits(wall_clock_s=wall_clock_s, grace_s=2))
    runner = LocalRunner(output=OutputOptions(linger_s=1))
    return runner.run(replace(inputs, agent=OpenCodeAgent()), heartbeat=go_on)


@pytest.mark.slow
def test_a_program_that_stays_after_its_last_word_is_ended_and_its_change_kept(origin: Origin, tmp_path: Path) -> None:
    script = f"echo more >> README.md; echo '{STOPPED}'; sleep 100"
    run = run_opencode(origin, tmp_path, script, wall_clock_s=60)
    assert run.ending.cause is Cause.COMPLETED
    assert "stayed after its last word" in run.ending.message
    assert run.timings["total_s"] < 40
    assert run.bundle is not None
    assert origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md") == "# Sample\nmore"


@pytest.mark.slow
def test_a_program_that_stays_after_an_error_is_ended_as_failed(origin: Origin, tmp_path: Path) -> None:
    run = run_opencode(origin, tmp_path, f"echo '{DENIED}'; sleep 100", wall_clock_s=60)
    assert run.ending.cause is Cause.PROVIDER_ERROR
    assert "APIError" in run.ending.message
    assert run.timings["total_s"] < 40


@pytest.mark.slow
def test_a_program_that_has_more_to_do_is_not_ended_for_its_silence(origin: Origin, tmp_path: Path) -> None:
    run = run_opencode(origin, tmp_path, f"echo '{GOES_ON}'; sleep 100", wall_clock_s=4)
    assert run.ending.cause is Cause.TIMEOUT


def test_what_an_agent_leaves_running_is_ended_with_it(origin: Origin, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = run_shell(origin, tmp_path, f"setsid sleep 100 & echo $! > {pid}")
    assert run.ending.cause is Cause.NO_CHANGES
    assert run.timings["total_s"] < 20
    wait_until_gone(int(pid.read_text(encoding="utf-8")))


def test_a_cancellation_ends_the_agent(origin: Origin, tmp_path: Path) -> None:
    inputs = prepared(origin, tmp_path, "echo ready; sleep 100")
    heartbeat = StopAfterStart(inputs.folder.log, "ready")
    run = LocalRunner().run(inputs, heartbeat=heartbeat)
    assert run.ending.cause is Cause.CANCELLED
    assert run.result is not None
    assert run.result.error is not None
    assert run.result.error.code == "terminated"


@pytest.mark.slow
def test_a_flood_of_output_is_cut_and_ends_the_agent(origin: Origin, tmp_path: Path) -> None:
    run = run_shell(origin, tmp_path, "yes", small_limits(log=64 * 1024))
    assert run.ending.cause is Cause.LOG_OVERFLOW
    assert len(log_of(tmp_path)) < 65 * 1024


def test_output_files_that_outgrow_their_limit_end_the_agent(origin: Origin, tmp_path: Path) -> None:
    out = tmp_path / "attempt" / "out"
    script = f"head -c 3000000 /dev/zero > {out}/a; head -c 3000000 /dev/zero > {out}/b; sleep 100"
    run = run_shell(origin, tmp_path, script, small_limits(output=4 * MIB))
    assert run.ending.cause is Cause.DISK_FULL


def test_the_agent_gets_no_token_and_a_home_of_its_own(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "x" * 36)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y" * 40)
    run_shell(origin, tmp_path, "env; pwd")
    log = log_of(tmp_path)
    assert "x" * 36 not in log
    assert "y" * 40 not in log
    assert f"HOME={os.environ['HOME']}\n" not in log
    assert f"SQUIRE_ATTEMPT_ID={ATTEMPT_ID}" in log


@pytest.mark.slow
def test_limits_of_files_hold(origin: Origin, tmp_path: Path) -> None:
    limits = small_limits(open_files=100)
    run = run_shell(origin, tmp_path, "ulimit -n; ulimit -c; head -c 70000000 /dev/zero > big", limits)
    assert "100" in run.ending.evidence.log_tail
    assert "0" in run.ending.evidence.log_tail
    assert run.ending.cause is Cause.AGENT_ERROR


def test_secrets_are_taken_out_of_log_and_message(origin: Origin, tmp_path: Path) -> None:
    inputs = origin.prepared(tmp_path, command=("hunter2-agent",))
    run = LocalRunner(output=OutputOptions(redact=lambda text: text.replace("hunter2", "***"))).run(
        inputs, heartbeat=go_on
    )
    assert "***-agent" in run.ending.message
    assert "hunter2" not in log_of(tmp_path)


def test_what_the_heartbeat_raises_passes_through_and_nothing_is_left(origin: Origin, tmp_path: Path) -> None:
    class StopError(BaseException):
        pass

    pid = tmp_path / "pid"

    def broken() -> bool:
        if pid.exists() and pid.read_text(encoding="utf-8").strip():
            raise StopError
        return True

    with pytest.raises(StopError):
        LocalRunner().run(prepared(origin, tmp_path, f"echo $$ > {pid}; sleep 100"), heartbeat=broken)
    wait_until_gone(int(pid.read_text(encoding="utf-8")))
    assert not list((tmp_path / "attempt").glob("work-*"))


def test_without_a_workspace_nothing_starts(tmp_path: Path) -> None:
    run = LocalRunner().run(make_inputs(tmp_path, command=("true",)), heartbeat=go_on)
    assert run.ending.cause is Cause.WORKSPACE_ERROR


def test_a_workspace_without_its_inputs_is_a_workspace_error(origin: Origin, tmp_path: Path) -> None:
    inputs = prepared(origin, tmp_path, "true")
    (inputs.folder.inbox / "repo.bundle").unlink()
    run = LocalRunner().run(inputs, heartbeat=go_on)
    assert run.ending.cause is Cause.WORKSPACE_ERROR
    assert "repo.bundle" in run.ending.message


def test_an_entrypoint_that_is_not_there_is_an_ending(origin: Origin, tmp_path: Path) -> None:
    runner = LocalRunner(entrypoint=tmp_path / "no-entrypoint.py")
    run = runner.run(prepared(origin, tmp_path, "true"), heartbeat=go_on)
    runner.close()
    assert run.ending.cause is Cause.AGENT_ERROR
    assert any("no-entrypoint" in line for line in run.ending.evidence.log_tail)


FAKE_OPENCODE = """
import json, os, sys, urllib.request
if sys.argv[1:] == ["--version"]:
    sys.exit(print("9.9.9"))
options = json.load(open(os.environ["OPENCODE_CONFIG"]))["provider"]["squire"]["options"]
body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": sys.argv[-1]}]}).encode()
request = urllib.request.Request(options["baseURL"] + "/chat/completions", body, {"Content-Type": "application/json"})
answer = json.load(urllib.request.urlopen(request, timeout=10))
open("README.md", "a").write(answer["choices"][0]["message"]["content"])
print(json.dumps({"type": "step_finish", "sessionID": "ses_1", "part": {"tokens": {"input": 3, "output": 2}}}))
"""


@pytest.mark.slow
def test_an_opencode_reaches_its_model_through_the_gateway(origin: Origin, tmp_path: Path) -> None:
    fake = tmp_path / "opencode.py"
    fake.write_text(FAKE_OPENCODE, encoding="utf-8")
    inputs = origin.prepared(tmp_path, command=(sys.executable, str(fake)), model="scripted")
    calls: list[GatewayCall] = []
    with (
        ModelServer([Turn(text="by a model")]) as model,
        socket_directory() as path,
        Gateway(
            path, GatewayConfig("a1", (Upstream(model.url, "sk-" + "k" * 20, ("scripted",)),)), on_call=calls.append
        ),
    ):
        run = LocalRunner().run(inputs, heartbeat=go_on, gateway_socket=path)
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.bundle is not None
    assert "by a model" in origin.file_after(run.bundle, "squire/t000000001-do-it", "README.md")
    assert [call.status for call in calls] == [200]
    facts = run.ending.evidence.session
    assert isinstance(facts, dict)
    assert facts["input_tokens"] == 3


def test_a_process_that_cannot_be_started_is_a_workspace_error(origin: Origin, tmp_path: Path) -> None:
    inputs = prepared(origin, tmp_path, "true")
    run = LocalRunner(python=str(tmp_path / "no-python")).run(inputs, heartbeat=go_on)
    assert run.ending.cause is Cause.WORKSPACE_ERROR
    assert "cannot be started" in run.ending.message


DEEP = 'python3 -c \'import os\nfor _ in range(3000): os.mkdir("d"); os.chdir("d")\''


@pytest.mark.parametrize(
    ("where", "cause"), [("$HOME", Cause.COMPLETED), ("OUT/result.json", Cause.DISK_FULL)], ids=["home", "out"]
)
def test_folders_of_3000_levels_have_an_ending_with_a_name(
    origin: Origin, tmp_path: Path, where: str, cause: Cause
) -> None:
    folder = where.replace("OUT", str(tmp_path / "attempt" / "out"))
    try:
        run = run_shell(
            origin, tmp_path, f"mkdir -p {folder}; cd {folder} && {DEEP}; cd $OLDPWD; echo changed >> README.md"
        )
        left = [path.name for path in (tmp_path / "attempt").iterdir() if path.name.startswith("work-")]
    finally:
        remove_tree(tmp_path / "attempt")  # pytest cannot
    assert run.ending.cause is cause, run.ending
    assert left == []
