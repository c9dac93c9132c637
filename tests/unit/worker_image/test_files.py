"""The worker image's fixed files: what they must never allow."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

IMAGE = Path(__file__).parents[3] / "worker-image"
SECCOMP: dict[str, Any] = json.loads((IMAGE / "seccomp.json").read_text(encoding="utf-8"))
ALLOWED = {name for rule in SECCOMP["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
NEVER = [
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "clone3",
    "create_module",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_setup",
    "io_submit",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "memfd_secret",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "mq_open",
    "msgget",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "remap_file_pages",
    "request_key",
    "set_mempolicy",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
    "vm86",
    "vmsplice",
]


def test_seccomp_denies_by_default_on_both_architectures() -> None:
    assert SECCOMP["defaultAction"] == "SCMP_ACT_ERRNO"
    architectures = {entry["architecture"]: entry["subArchitectures"] for entry in SECCOMP["archMap"]}
    assert architectures == {"SCMP_ARCH_X86_64": [], "SCMP_ARCH_AARCH64": []}


@pytest.mark.parametrize("name", NEVER)
def test_seccomp_never_allows(name: str) -> None:
    assert name not in ALLOWED


def test_seccomp_allows_no_action_but_allow_and_errno() -> None:
    assert {rule["action"] for rule in SECCOMP["syscalls"]} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}


def test_seccomp_restricts_sockets_clone_and_personality_by_argument() -> None:
    guarded = {"socket", "socketpair", "clone", "personality"}
    rules = [rule for rule in SECCOMP["syscalls"] if guarded & set(rule["names"])]
    assert all(len(rule["names"]) == 1 and rule["args"] for rule in rules)
    families = {rule["args"][0]["value"] for rule in rules if rule["names"] == ["socket"]}
    assert families == {1, 2, 10, 16}


def test_opencode_is_pinned_with_its_integrity_for_both_architectures() -> None:
    lines = [line.split() for line in (IMAGE / "opencode.lock").read_text().splitlines() if not line.startswith("#")]
    assert [line[0] for line in lines] == ["amd64", "arm64"]
    assert len({line[2] for line in lines}) == 1
    assert all(re.fullmatch(r"1\.18\.\d+", line[2]) and line[3].startswith("sha512-") for line in lines)
