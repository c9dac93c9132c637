"""What the pinned seccomp profile denies, tried from inside; and that the same calls work without it."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker

PROBE = (Path(__file__).parent / "seccomp_probe.txt").read_text(encoding="utf-8")
DENIED = {errno.EPERM, errno.ENOSYS}
# Without a filter these succeed, or fail for their arguments, in the same container without any capability.
OPEN_OTHERWISE = {
    "ptrace", "unshare user", "clone user", "keyctl", "process_vm_readv", "io_uring_setup", "clone3", "msgget",
    "personality", "socket vsock", "socket alg", "socket netlink netfilter", "socketpair inet", "kcmp",
}  # fmt: skip


def _probe(sandbox: Any, **more: Any) -> dict[str, dict[str, int]]:
    ended = sandbox.run(entrypoint=["python3", "-c", PROBE], command=[], **more)
    assert ended.code == 0, ended
    answer: dict[str, dict[str, int]] = json.loads(ended.stdout)
    return answer


def test_what_escapes_use_is_denied(sandbox: Any) -> None:
    answer = _probe(sandbox)
    assert {name: code for name, code in answer["denied"].items() if code not in DENIED} == {}
    assert answer["denied"]["clone3"] == errno.ENOSYS
    assert answer["denied"]["io_uring_setup"] == errno.ENOSYS


def test_what_programs_need_is_allowed(sandbox: Any) -> None:
    assert set(_probe(sandbox)["allowed"].values()) == {0}


def test_it_is_the_profile_that_denies(sandbox: Any) -> None:
    answer = _probe(sandbox, seccomp="unconfined")
    codes = {name: answer["denied"][name] for name in OPEN_OTHERWISE}
    assert {name: code for name, code in codes.items() if code == errno.EPERM} == {}


def test_the_tools_of_the_image_run_under_it(sandbox: Any) -> None:
    script = """
set -e
cd /work && git init -q r && cd r && printf 'import os\\n' > a.py
git add -A && git -c user.name=a -c user.email=a@b commit -qm one && git gc -q && git fsck --strict
ruff check -q --fix . && git diff --stat | cat
python3 -c 'import multiprocessing as m, ssl, sqlite3, ctypes; print(m.Pool(2).map(abs, [-1, -2]))'
(socat UNIX-LISTEN:/tmp/s,fork EXEC:cat &) && sleep 0.3 && echo hello | socat - UNIX-CONNECT:/tmp/s
opencode --version
"""
    ended = sandbox.run(entrypoint=["sh", "-c", script], command=[])
    assert ended.code == 0, ended
    assert "[1, 2]" in ended.stdout
    assert "hello" in ended.stdout
    assert "1.18." in ended.stdout
