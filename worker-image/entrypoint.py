"""What runs first in a worker container: repository in, agent, bundle out.

It knows no secret and trusts nothing that the agent leaves behind; the host verifies the bundle and decides what to
publish. Standard library only, and Python 3.9 is enough, because the base image is the user's choice. The local runner
starts it on the host, with other paths in its environment. The agent's wall clock is the host's: it sends SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Beside this file may be a checkout or an installed package: leave nothing there.
sys.dont_write_bytecode = True
# Python's isolated mode (-I) leaves a script's own folder out of the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from squire_worker.agent import Agent, relay
from squire_worker.contract import EXIT_CODES, Attempt, FailedError, Paths, Result, fail, is_full, note
from squire_worker.processes import TerminatedError, Termination
from squire_worker.repository import Repository
from squire_worker.waiting import ignore_early_hand_out, wait_for_order, wait_until_taken

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def run_attempt(paths: Paths, result: Result, termination: Termination) -> int:
    """Take an attempt from its inputs to its bundle; fill `result` on the way and return the exit code."""
    for name in ("repo.bundle", "task.json", "prompt.md"):
        if not (paths.inbox / name).is_file():
            fail("input_invalid", f"{name} is missing in {paths.inbox}")
    attempt = Attempt.parse(paths.read("attempt.json"))
    repository = Repository(paths, attempt)
    with result.timed("clone_s"):
        repository.clone()

    gateway, port = os.environ.get("SQUIRE_GATEWAY_SOCKET"), int(os.environ.get("SQUIRE_GATEWAY_PORT", "8787"))
    agent = Agent(paths, attempt, port)
    with gateway_relay(gateway, port):
        result.agent_version = agent.ask_version()
        result.stamp("agent_start")
        stopped, code = None, EXIT_CODES["terminated"]
        try:
            code = agent.run(termination, float(os.environ.get("SQUIRE_STOP_GRACE_S", "5")))
            result.agent_exit_code = code
        except TerminatedError as error:
            stopped = error
        finally:
            result.stamp("agent_end")

    if not attempt.hands_out:
        if stopped is not None:
            raise stopped
        result.status, result.error = "no_changes", None
        return code
    # What a stopped agent made until then is handed out too; the host decides what becomes of it.
    with result.timed("bundle_s"), termination.deferred():
        repository.seal()
        result.left_out = repository.leave_out()
        result.uncommitted_committed = repository.commit_rest()
        result.head_sha = repository.head()
        if result.head_sha:
            result.commits = repository.bundle()
    result.status, result.error = "changed" if result.head_sha else "no_changes", None
    if stopped is not None:
        note("terminated")
        result.error = {"code": "terminated", "message": "a signal arrived before the agent had ended"}
    return code


def gateway_relay(gateway: str | None, port: int) -> AbstractContextManager[None]:
    """Return what relays the agent's port to the gateway while a block lasts: by the door where there is one."""
    if not has_door():
        return relay(Path(gateway or os.devnull), port)
    from squire_worker.door import door_relay  # noqa: PLC0415 - most containers have none

    return door_relay(port)


def has_door() -> bool:
    """Return whether inputs, gateway and result go through a door, since nothing of the host is mounted."""
    return bool(os.environ.get("SQUIRE_DOOR"))


def hand_out(out: Path) -> bool:
    """Have the result taken; return False when nobody took it, which the host has to see at the exit code."""
    if not has_door():
        wait_until_taken()
        return True
    from squire_worker.door import hand_out_result  # noqa: PLC0415 - likewise

    note("the result is ready")
    return hand_out_result(out)


def serve_door(mode: str) -> int:
    """Do what a process beside the agent does: bring the inputs (`fetch`), or be the relay (`relay`)."""
    from squire_worker.door import run_fetch, run_relay  # noqa: PLC0415 - likewise

    if mode == "relay":
        return run_relay(int(os.environ.get("SQUIRE_GATEWAY_PORT", "8787")))
    if mode == "fetch":
        os.umask(0o022)
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(EXIT_CODES["terminated"]))
        return run_fetch(Path(os.environ.get("SQUIRE_IN", "/in")).resolve())
    note(f"input_invalid: {mode[:100]!r} is neither fetch nor relay")
    return EXIT_CODES["input_invalid"]


def main() -> int:
    """Run one attempt, once there is an order; write result.json whatever happens."""
    if len(sys.argv) > 1:
        return serve_door(sys.argv[1])
    os.umask(0o022)
    ignore_early_hand_out()
    wait_for_order()
    inbox, out, work = (os.environ.get(f"SQUIRE_{name}", f"/{name.lower()}") for name in ("IN", "OUT", "WORK"))
    paths, result = Paths(Path(inbox).resolve(), Path(out).resolve(), Path(work).resolve()), Result()
    result.fail("internal", "the entrypoint stopped unexpectedly; its traceback is on stderr")
    termination, is_taken = Termination(), True
    try:
        code = run_attempt(paths, result, termination)
    except FailedError as error:
        note(f"{error.code}: {error.message}")
        result.fail(error.code, error.message)
        code = EXIT_CODES[error.code]
    except TerminatedError:
        note("terminated")
        result.fail("terminated", "a signal arrived before the attempt was over")
        code = EXIT_CODES["terminated"]
    finally:
        # From here on no signal may interrupt.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        full = is_full(paths.out)
        try:
            result.write(paths.out)
        except OSError as error:
            note(f"output_full: {error}")
            full = True
        if full:
            raise SystemExit(EXIT_CODES["output_full"])
        is_taken = hand_out(paths.out)
    # The agent's own exit code says more than that nobody took its result; a failure before it says nothing of it.
    is_own = result.agent_exit_code is not None and code
    return code if is_taken or is_own else EXIT_CODES["door_away"]


if __name__ == "__main__":
    sys.exit(main())
