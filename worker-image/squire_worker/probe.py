"""Runs inside an agent's container: tries what it must not be able to do, and prints what came of it as JSON.

A program of its own, which `squire agents probe` gives to the image's Python. Standard library, Python 3.9. Each system
call is tried in a child. Where success would do something, the arguments are wrong on purpose: what is denied is denied
before they are read.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
CLONE = (56, 220)
PR_GET_NO_NEW_PRIVS = 39
# name: (number on x86_64, number on aarch64, arguments)
CALLS: dict[str, tuple[int, int, list[int]]] = {
    "ptrace": (101, 117, [0]),
    "unshare user": (272, 97, [0x10000000]),
    "unshare net": (272, 97, [0x40000000]),
    "unshare mount": (272, 97, [0x00020000]),
    "setns": (308, 268, [-1, 0]),
    "clone user": (56, 220, [0x10000000 | 17, 0, 0, 0, 0]),
    "clone mount": (56, 220, [0x00020000 | 17, 0, 0, 0, 0]),
    "clone3": (435, 435, [0, 0]),
    "mount": (165, 40, [0, 0, 0, 0, 0]),
    "umount2": (166, 39, [0, 0]),
    "pivot_root": (155, 41, [0, 0]),
    "open_tree": (428, 428, [-100, 0, 0]),
    "move_mount": (429, 429, [-1, 0, -1, 0, 0]),
    "fsopen": (430, 430, [0, 0]),
    "mount_setattr": (442, 442, [-1, 0, 0, 0, 0]),
    "bpf": (321, 280, [0, 0, 0]),
    "keyctl": (250, 219, [0, -3, 0]),
    "add_key": (248, 217, [0, 0, 0, 0, 0]),
    "request_key": (249, 218, [0, 0, 0, 0]),
    "userfaultfd": (323, 282, [1]),
    "perf_event_open": (298, 241, [0, 0, -1, -1, 0]),
    "process_vm_readv": (310, 270, [1, 0, 0, 0, 0, 0]),
    "process_vm_writev": (311, 271, [1, 0, 0, 0, 0, 0]),
    "pidfd_getfd": (438, 438, [-1, 0, 0]),
    "kcmp": (312, 272, [0, 0, 99, 0, 0]),
    "io_uring_setup": (425, 425, [1, 0]),
    "io_uring_enter": (426, 426, [-1, 0, 0, 0, 0, 0]),
    "io_uring_register": (427, 427, [-1, 0, 0, 0]),
    "kexec_load": (246, 104, [0, 0, 0, 0]),
    "kexec_file_load": (320, 294, [-1, -1, 0, 0, 0]),
    "init_module": (175, 105, [0, 0, 0]),
    "finit_module": (313, 273, [-1, 0, 0]),
    "delete_module": (176, 106, [0, 0]),
    "reboot": (169, 142, [0, 0, 0, 0]),
    "swapon": (167, 224, [0, 0]),
    "swapoff": (168, 225, [0]),
    "acct": (163, 89, [0]),
    "settimeofday": (164, 170, [0, 0]),
    "clock_settime": (227, 112, [0, 0]),
    "sethostname": (170, 161, [0, 0]),
    "syslog": (103, 116, [99, 0, 0]),
    "quotactl": (179, 60, [0, 0, 0, 0]),
    "name_to_handle_at": (303, 264, [-1, 0, 0, 0, 0]),
    "open_by_handle_at": (304, 265, [-1, 0, 0]),
    "personality": (135, 92, [0x0400000]),
    "msgget": (68, 186, [0, 0o600 | 0o1000]),
    "mq_open": (240, 180, [0, 0, 0, 0]),
    "vmsplice": (278, 75, [-1, 0, 0, 0]),
    "process_madvise": (440, 440, [-1, 0, 0, 0, 0]),
    "chroot": (161, 51, [0]),
    "fanotify_init": (300, 262, [0, 0]),
}
# family, kind, protocol
SOCKETS: dict[str, tuple[int, int, int]] = {
    "vsock": (40, socket.SOCK_STREAM, 0),
    "alg": (38, socket.SOCK_SEQPACKET, 0),
    "packet": (17, socket.SOCK_RAW, 0),
    "raw inet": (socket.AF_INET, socket.SOCK_RAW, 1),
    "can": (29, socket.SOCK_RAW, 1),
    "bluetooth": (31, socket.SOCK_RAW, 1),
    "tipc": (30, socket.SOCK_RDM, 0),
    "xdp": (44, socket.SOCK_RAW, 0),
    "netlink netfilter": (16, socket.SOCK_RAW, 12),
}
WRITE = ("/", "/etc", "/usr/bin", "/in", "/proc/sys/kernel", "/proc/sysrq-trigger", "/sys/fs/cgroup", "/dev")
READ = ("/dev/mem", "/dev/kmsg", "/proc/kcore", "/proc/keys", "/var/run/docker.sock", "/root/.ssh")
# In the order of their numbers, linux/capability.h.
CAPABILITIES = tuple(
    name
    for line in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID",
        "SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER",
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE",
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP",
        "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF",
        "CHECKPOINT_RESTORE",
    )
    for name in line.split()
)
_ADDRESS = ("192.0.2.1", 80)  # TEST-NET-1 of RFC 5737: nobody's


def in_child(action: Callable[[], int]) -> int:
    """Return what `action` answers in a child of its own: an errno, 0 on success, 128 + n when signal n ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            code = action()
        except OSError as error:
            code = error.errno or 255
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def call(number: int, arguments: list[int]) -> Callable[[], int]:
    """Return an action that makes one system call."""

    def action() -> int:
        done = LIBC.syscall(number, *(ctypes.c_long(value) for value in arguments))
        if done == 0 and number in CLONE:
            os._exit(0)  # the child that clone made
        return ctypes.get_errno() if done == -1 else 0

    return action


def sock(family: int, kind: int, protocol: int = 0) -> Callable[[], int]:
    """Return an action that opens a socket of a family."""

    def action() -> int:
        socket.socket(family, kind, protocol).close()
        return 0

    return action


def _inet_pair() -> int:
    ends = (ctypes.c_int * 2)()
    done = LIBC.socketpair(socket.AF_INET, socket.SOCK_STREAM, 0, ends)
    return ctypes.get_errno() if done == -1 else 0


def _unix_pair() -> int:
    for end in socket.socketpair(socket.AF_UNIX):
        end.close()
    return 0


def _fifo() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(f"{folder}/pipe")
    return 0


def _write(path: str) -> Callable[[], int]:
    def action() -> int:
        target = Path(path)
        if target.is_dir():
            target /= ".squire-probe"
        target.open("ab").close()
        target.unlink()
        return 0

    return action


def _read(path: str) -> Callable[[], int]:
    def action() -> int:
        target = Path(path)
        if stat.S_ISSOCK(target.stat().st_mode):
            return 0
        with target.open("rb") as file:
            return 0 if file.read(1) else 2  # the engine puts an empty file over what is masked

    return action


def _connect() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(3)
        probe.connect(_ADDRESS)
    return 0


def _capabilities() -> dict[str, int]:
    """Return 1 for each capability that is denied in every set, else 0."""
    sets = [
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text("ascii").splitlines()
        if line.startswith(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    ]
    return {name: int(not any(mask >> number & 1 for mask in sets)) for number, name in enumerate(CAPABILITIES)}


def _set_uid_files() -> list[str]:
    files = []
    for top in ("/bin", "/sbin", "/usr"):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - walks a whole image
                if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.path.isfile(path):  # noqa: PTH113
                    files.append(path)
    return files


def _first(*paths: str) -> str | None:
    for path in paths:
        if Path(path).is_file():
            return Path(path).read_text("ascii").strip()
    return None


def _limits() -> dict[str, object]:
    def size(path: str) -> int:
        status = os.statvfs(path)
        return status.f_blocks * status.f_frsize

    cgroup = "/sys/fs/cgroup"
    return {
        "memory": _first(f"{cgroup}/memory.max", f"{cgroup}/memory/memory.limit_in_bytes"),
        "memory_and_swap": _first(f"{cgroup}/memory/memory.memsw.limit_in_bytes"),
        "swap": _first(f"{cgroup}/memory.swap.max"),
        "pids": _first(f"{cgroup}/pids.max", f"{cgroup}/pids/pids.max"),
        "cpu": _first(f"{cgroup}/cpu.max", f"{cgroup}/cpu/cpu.cfs_quota_us"),
        "cpu_period": _first(f"{cgroup}/cpu/cpu.cfs_period_us"),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "file_size": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
        "workspace": size("/work"),
        "home": size("/home/agent"),
        "tmp": size("/tmp"),  # noqa: S108 - the container's own
    }


def main() -> None:
    """Try everything and print it."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines() if ":\t" in line
    )
    answer = {
        "calls": {name: in_child(call(x86 if X86 else arm, rest)) for name, (x86, arm, rest) in CALLS.items()},
        "sockets": {name: in_child(sock(*arguments)) for name, arguments in SOCKETS.items()}
        | {"pair inet": in_child(_inet_pair)},
        "write": {path: in_child(_write(path)) for path in WRITE},
        "read": {path: in_child(_read(path)) for path in READ},
        "capabilities": _capabilities(),
        "connect": in_child(_connect),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "uid": os.getuid(),
        # gVisor's /proc/self/status does not say it; the call does, everywhere.
        "no_new_privileges": LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        "seccomp": int(status["Seccomp"]),
        "set_uid_files": _set_uid_files(),
        "limits": _limits(),
        "allowed": {
            "socket unix": in_child(sock(socket.AF_UNIX, socket.SOCK_STREAM)),
            "socket inet": in_child(sock(socket.AF_INET, socket.SOCK_STREAM)),
            "socket inet6": in_child(sock(socket.AF_INET6, socket.SOCK_STREAM)),
            "socket netlink route": in_child(sock(16, socket.SOCK_RAW, 0)),
            "socketpair unix": in_child(_unix_pair),
            "mkfifo": in_child(_fifo),
            "write /work": in_child(_write("/work")),
        },
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
