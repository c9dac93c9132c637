"""The forge as a process: readiness, secrets, kill -9, clean stops."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from squire_forge.__main__ import main
from squire_forge.errors import NotReachableError, PortInUseError
from squire_forge.process import ForgeProcess
from tests.support.children import wait_until


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def _pulls(state: dict[str, Any], name: str) -> list[dict[str, Any]]:
    pulls: list[dict[str, Any]] = next(
        repository for repository in state["repositories"] if repository["name"] == name
    )["pull_requests"]
    return pulls


@pytest.mark.slow
def test_a_started_forge_serves_and_says_where(forge: ForgeProcess) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", forge.url)
    assert forge.url.endswith(f":{forge.port}")
    assert forge.api_url == f"{forge.url}/api/v3"
    response = httpx.get(f"{forge.api_url}/user", headers={"authorization": f"token {forge.token}"})
    assert response.json()["login"] == "squire-demo"
    assert len(forge.state()["repositories"]) == 4


@pytest.mark.slow
def test_a_forge_with_a_name_is_reached_by_it_and_by_no_other_over_https(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "squire_forge", "--home", str(tmp_path), "--name", "forge.test", "--https"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forge:
        try:
            assert forge.stdout is not None
            url = urlsplit(json.loads(forge.stdout.readline())["url"])
            assert (url.scheme, url.hostname) == ("https", "forge.test")
            context = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
            assert stat.S_IMODE((tmp_path / "certificate-key.pem").stat().st_mode) == 0o600
            for name, status in (("forge.test", 200), ("127.0.0.1", 200), ("elsewhere.test", 400)):
                headers = {"host": f"{name}:{url.port}"}
                answer = httpx.get(f"https://127.0.0.1:{url.port}/", headers=headers, verify=context)
                assert (name, answer.status_code) == (name, status)
        finally:
            forge.terminate()


@pytest.mark.slow
def test_secrets_lie_in_private_files_and_in_no_command_line(forge: ForgeProcess, forge_home: Path) -> None:
    for name in ("token", "webhook-secret"):
        assert stat.S_IMODE((forge_home / name).stat().st_mode) == 0o600
    command = Path(f"/proc/{forge.pid}/cmdline")
    if command.exists():
        assert forge.token.encode() not in command.read_bytes()
    assert forge.token not in (forge_home / "forge.log").read_text()


@pytest.mark.slow
def test_a_killed_forge_goes_on_where_it_was(
    forge: ForgeProcess, forge_home: Path, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(forge, "demo/quiet")
    pushed = clone.commit("squire/t1", {"a.txt": "a"})
    clone.push("squire/t1")
    headers = {"authorization": f"Bearer {forge.token}"}
    body = {"title": "Fix", "head": "squire/t1", "base": "main"}
    response = httpx.post(f"{forge.api_url}/repos/demo/quiet/pulls", json=body, headers=headers)
    assert response.status_code == 201
    forge.kill()
    with ForgeProcess.start(forge_home) as again:
        assert again.token == forge.token
        (pull,) = _pulls(again.settle(), "demo/quiet")
        assert (pull["number"], pull["head_sha"], pull["state"]) == (1, pushed, "merged")
        assert [pull["number"] for pull in _pulls(again.state(), "demo/handbook")] == [3]


@pytest.mark.slow
def test_a_forge_that_was_killed_is_kept_up_at_its_port_with_its_state(forge: ForgeProcess) -> None:
    before, url, pid = forge.state(), forge.url, forge.pid
    assert not forge.keep_up()
    os.killpg(forge.pid, signal.SIGKILL)
    os.waitid(os.P_PID, forge.pid, os.WEXITED | os.WNOWAIT)
    assert forge.keep_up()
    assert (forge.url, forge.state()["repositories"]) == (url, before["repositories"])
    assert forge.pid != pid


@pytest.mark.slow
def test_a_push_that_was_not_taken_note_of_is_after_a_kill(
    forge: ForgeProcess, forge_home: Path, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(forge, "demo/quiet")
    pushed = clone.commit("topic", {"a.txt": "a"})
    forge.kill()
    # What a kill between git's update and ours leaves: the branch is there, nobody was told.
    clone.run("push", "--quiet", str(forge_home / "repositories/demo/quiet.git"), "topic")
    with ForgeProcess.start(forge_home) as again:
        quiet = next(repository for repository in again.settle()["repositories"] if repository["name"] == "demo/quiet")
        assert quiet["branches"]["topic"] == pushed
        assert quiet["ci"]["topic"] == "success"


@pytest.mark.slow
def test_locks_that_a_killed_git_left_are_removed(
    forge: ForgeProcess, forge_home: Path, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(forge, "demo/quiet")
    clone.commit("topic", {"a.txt": "a"})
    forge.kill()
    bare = forge_home / "repositories/demo/quiet.git"
    left = [bare / "packed-refs.lock", bare / "refs/heads/topic.lock", bare / "objects/tmp_objdir-incoming-x1"]
    for path in left[:2]:
        path.touch()
    left[2].mkdir()
    with ForgeProcess.start(forge_home) as again:
        assert [path for path in left if path.exists()] == []
        clone.run("push", "--quiet", f"http://x:{again.token}@127.0.0.1:{again.port}/demo/quiet.git", "topic")


@pytest.mark.slow
def test_two_forges_do_not_share_a_home(forge: ForgeProcess, forge_home: Path) -> None:
    with pytest.raises(NotReachableError, match="another forge runs on"):
        ForgeProcess.start(forge_home)
    assert forge.state()["repositories"]


def test_sigterm_ends_it_before_it_is_killed_even_while_a_webhook_hangs(
    forge_home: Path, samples: Any, taken_port: int
) -> None:
    # The port is listened on, but nobody answers.
    forge = ForgeProcess.start(forge_home, webhook_url=f"http://127.0.0.1:{taken_port}/")
    forge.host_repository(samples[3])
    assert forge.stop() == 0
    assert forge.stop() == 0


@pytest.mark.slow
def test_a_port_in_use_is_named(taken_port: int, tmp_path: Path) -> None:
    with pytest.raises(PortInUseError, match=f"port {taken_port}"):
        ForgeProcess.start(tmp_path / "home", port=taken_port)
    command = [
        sys.executable,
        "-m",
        "squire_forge",
        "--home",
        str(tmp_path / "home"),
        "--port",
        str(taken_port),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert str(taken_port) in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_port_may_be_kept_over_a_restart_with_another_webhook(
    forge: ForgeProcess, forge_home: Path, receiver: Any
) -> None:
    port = forge.port
    forge.stop()
    with ForgeProcess.start(forge_home, port=port, webhook_url=receiver.url) as again:
        assert again.port == port
        again.settle()
        assert {webhook.event for webhook in receiver.all()} == {"ping"}


def test_given_secrets_are_used(tmp_path: Path) -> None:
    token = "ghp_" + "x" * 36
    with ForgeProcess.start(tmp_path / "home", token=token, webhook_secret="w" * 20, merge_prefix=None) as forge:
        assert (forge.token, forge.webhook_secret) == (token, "w" * 20)
        assert forge.state()["webhook_url"] is None


def test_a_forge_that_cannot_start_says_why(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "forge.sqlite3").mkdir(parents=True)
    with pytest.raises(NotReachableError, match="ended with"):
        ForgeProcess.start(home)


@pytest.mark.parametrize("content", [None, ""])
def test_a_token_file_that_cannot_be_used_is_a_configuration_error(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    assert main(["--home", str(tmp_path / "home"), "--token-file", str(path)]) == 3
    assert str(path) in capsys.readouterr().err


def test_a_home_of_another_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3  # noqa: PLC0415 - only here

    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "forge.sqlite3") as con:
        con.execute("PRAGMA user_version = 99")
    con.close()
    assert main(["--home", str(home)]) == 3
    assert "schema 99" in capsys.readouterr().err


@pytest.mark.slow
def test_secrets_are_made_when_none_are_given(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "squire_forge", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert b'"ready": true' in child.stdout.readline()
        child.terminate()
        assert child.wait(10) == 0
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
    assert not os.path.exists(f"/proc/{child.pid}")  # noqa: PTH110 - a process, not a file


def _git_backends(home: Path) -> list[int]:
    """Processes that serve git from the folder of this forge."""
    own = f"GIT_PROJECT_ROOT={home}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
                if own in (entry / "environ").read_bytes():
                    pids.append(int(entry.name))
    return pids


def test_a_push_that_is_cut_by_the_forges_death_leaves_no_git_behind(forge: ForgeProcess, forge_home: Path) -> None:
    with socket.create_connection(("127.0.0.1", forge.port)) as connection:
        login = base64.b64encode(f"x:{forge.token}".encode()).decode()
        connection.sendall(
            b"POST /demo/quiet.git/git-receive-pack HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 526\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\n"
            b"Authorization: Basic " + login.encode() + b"\r\n\r\n00"  # half of a length: git waits for the rest
        )
        wait_until(lambda: _git_backends(forge_home) != [])
        os.kill(forge.pid, signal.SIGKILL)
    wait_until(lambda: _git_backends(forge_home) == [])
