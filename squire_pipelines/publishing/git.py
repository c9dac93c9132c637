"""Running git on the host: no configuration but ours, no hooks, no prompts, bounded in time and output.

The one place that starts git. What is asked of git, and what its answers mean, lives in the other modules.
"""

import contextlib
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from squire_pipelines.errors import (
    ConfigError,
    GitError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    PublishRefusedError,
    SquireError,
)
from squire_pipelines.secrets import Redactor, Secret

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_OUTPUT = 64 * 2**20
DEFAULT_MAX_MEMORY = 2 * 2**30
_GRACE_S = 2.0
_STDERR_BYTES = 16 * 1024
_STDERR_LINES = 20
_CHUNK = 64 * 1024
_PASSED_ON = (
    "PATH",
    "TMPDIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
)
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.quotePath=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "protocol.version=2",
    "diff.external=",
)
# Under a limit of memory: small windows into packs, one thread, and no cache that grows with what an agent wrote.
_FRUGAL = (
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=128m",
    "core.deltaBaseCacheLimit=32m",
    "pack.threads=1",
    "pack.windowMemory=128m",
    "pack.deltaCacheSize=32m",
)
# The shell sets the limit and becomes git: unlike `preexec_fn` it is safe in a process with threads, and unlike
# prlimit(2) on the child it holds from the first instruction on.
_LIMITED = ("sh", "-c", 'ulimit -v "$0" && exec "$@"')
_OUT_OF_MEMORY = re.compile(r"[Oo]ut of memory|[Cc]annot allocate memory|mmap failed|unable to create thread")
# macOS knows no limit of the address space.
_CAN_LIMIT = sys.platform == "linux"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository to fetch from or push to: its URL without credentials, the one protocol allowed, and the token."""

    url: str
    protocol: str
    token: Secret | None = None

    @classmethod
    def parse(cls, url: str, token: Secret | None = None) -> "Remote":
        """Check a URL: `https`, `http` to this machine only, or the absolute path of a repository on this machine.

        Raises:
            ConfigError: Another protocol, plain HTTP to another machine, or credentials within the URL.
        """
        if url.startswith("/"):
            return cls(url, "file", None)
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ConfigError(
                f"the URL of the repository on {parts.hostname} carries credentials",
                hint="leave them out; the token is kept as the secret github-token",
            )
        if parts.scheme == "file" and not parts.hostname:
            return cls(url, "file", None)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return cls(url, parts.scheme, token)
        raise ConfigError(
            f"{url!r} cannot be used as a repository's URL", hint="use https://; http:// is for this machine only"
        )


def _environment(protocol: str, extra: Mapping[str, str] | None) -> dict[str, str]:
    environment = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    if "GIT_SSL_CAINFO" not in environment and (bundle := os.environ.get("SSL_CERT_FILE")):
        environment["GIT_SSL_CAINFO"] = bundle
    return environment | {
        # No home: neither ~/.netrc nor ~/.config/git is read.
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_SSH_COMMAND": "false",
        "GIT_ALLOW_PROTOCOL": protocol,
        **(extra or {}),
    }


@contextlib.contextmanager
def _credentials(remote: Remote | None) -> Iterator[tuple[str, ...]]:
    """Options that let git find the token in a private file, which is gone afterwards.

    Command lines and environments are seen by other processes of the machine, a URL ends in git's messages.
    """
    if remote is None or remote.token is None:
        yield ()
        return
    parts = urlsplit(remote.url)
    folder = Path(tempfile.mkdtemp(prefix="squire-git-"))  # mode 0700
    try:
        store = folder / "credentials"
        line = f"{parts.scheme}://x-access-token:{quote(remote.token.reveal(), safe='')}@{parts.netloc}\n"
        descriptor = os.open(store, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)
        yield ("-c", f"credential.helper=store --file={shlex.quote(str(store))}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: first politely, so that git takes its lock files away, then whoever is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


@dataclass(slots=True)
class _Output:
    stdout: bytearray
    stderr: bytearray
    timed_out: bool = False
    overflowed: bool = False


def _collect(process: subprocess.Popen[bytes], deadline: float, max_output: int) -> _Output:
    output = _Output(bytearray(), bytearray())
    with selectors.DefaultSelector() as selector:
        for stream, buffer in ((process.stdout, output.stdout), (process.stderr, output.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, buffer)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                output.timed_out = True
                return output
            for key, _ in selector.select(remaining):
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
            del output.stderr[:-_STDERR_BYTES]
            if len(output.stdout) > max_output:
                del output.stdout[max_output:]
                output.overflowed = True
                return output
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        output.timed_out = True
    return output


def run_git(
    args: Sequence[str],
    *,
    git_dir: Path | None = None,
    cwd: Path | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    stdin: bytes | BinaryIO | None = None,
    max_output: int = DEFAULT_MAX_OUTPUT,
    truncate: bool = False,
    env_extra: Mapping[str, str] | None = None,
    config: Sequence[str] = (),
    remote: Remote | None = None,
    ok_codes: Sequence[int] = (0,),
    max_memory: int | None = DEFAULT_MAX_MEMORY,
) -> bytes:
    """Run git and return its standard output.

    Args:
        args: The subcommand and its arguments; never a secret.
        git_dir: The bare repository to work in; only ever one that no agent could write.
        cwd: The working directory, `/` by default.
        timeout_s: Then the whole process group is ended.
        stdin: Bytes, or an open file that git reads from its current position.
        max_output: Bytes of standard output; more is an error, or is cut off when `truncate` is set.
        truncate: Whether to return the first `max_output` bytes rather than to fail.
        env_extra: More environment.
        config: More `key=value` settings for this one run.
        remote: Whose protocol is allowed and whose token is offered; without it git reaches no other repository.
        ok_codes: Exit codes that are no error.
        max_memory: Bytes of address space of git and each of its children; None where only what GitHub sent is read.

    Raises:
        GitError: Another exit code, time over, too much output, too little memory, or no git at all. The context
            holds the arguments, the exit code and the last lines of standard error, free of the token.
    """
    with contextlib.ExitStack() as stack:
        credentials = stack.enter_context(_credentials(remote))
        frugal = _FRUGAL if max_memory is not None else ()
        options = [part for setting in (*_CONFIG, *frugal, *config) for part in ("-c", setting)]
        limited = [*_LIMITED, str(max_memory // 1024)] if max_memory is not None and _CAN_LIMIT else []
        where = [f"--git-dir={git_dir}"] if git_dir else []
        source: BinaryIO | int = subprocess.DEVNULL
        if isinstance(stdin, bytes):
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(stdin)
            source.seek(0)
        elif stdin is not None:
            source = stdin
        try:
            process = subprocess.Popen(
                [*limited, "git", *options, *credentials, *where, *args],
                cwd=cwd or "/",
                env=_environment(remote.protocol if remote else "", env_extra),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(
                f"git cannot be started: {error.strerror}",
                hint="install git 2.39 or later",
                context={"args": tuple(args)},
            ) from error
        with process:
            try:
                output = _collect(process, time.monotonic() + timeout_s, max_output)
            finally:
                if process.poll() is None:
                    _stop(process)
        code = process.returncode
    if output.overflowed and truncate:
        return bytes(output.stdout)
    if not output.timed_out and not output.overflowed and code in ok_codes:
        return bytes(output.stdout)
    redactor = Redactor([remote.token] if remote and remote.token else [])
    lines = redactor.redact(output.stderr.decode(errors="replace")).splitlines()[-_STDERR_LINES:]
    if output.timed_out:
        what = f"took longer than {timeout_s:g} s"
    elif output.overflowed:
        what = f"wrote more than {max_output} bytes"
    else:
        telling = [line for line in lines if line.startswith(("fatal:", "error:", "git:"))] or lines[-1:]
        what = f"failed with exit code {code}" + (f": {telling[-1]}" if telling else "")
    raise _failure(args, output, code, what, lines)


def _failure(args: Sequence[str], output: _Output, code: int, what: str, lines: Sequence[str]) -> GitError:
    return GitError(
        f"git {args[0]} {what}",
        context={
            "args": tuple(args),
            "exit_code": code,
            "timed_out": output.timed_out,
            "overflowed": output.overflowed,
            "out_of_memory": any(_OUT_OF_MEMORY.search(line) for line in lines),
            "last_lines": tuple(lines),
        },
    )


_REFUSALS: tuple[tuple[re.Pattern[str], str, str, str], ...] = (
    (
        re.compile(r"archived"),
        "archived",
        "is archived and read-only",
        "unarchive it, or take it out of `repositories`",
    ),
    (
        re.compile(r"GH009|push protection|secret-scanning", re.IGNORECASE),
        "secret_scanning",
        "sees a secret in the commits",
        "look at the change before you let it pass: see the last lines",
    ),
    (
        re.compile(r"GH013|rule violations"),
        "ruleset",
        "refuses the push by a ruleset",
        "let the token's owner bypass the rule for `squire/**`, or change the ruleset",
    ),
    (
        re.compile(r"GH006|protected branch"),
        "protected_branch",
        "refuses the push by a branch protection",
        "exclude `squire/**` from the protected branches",
    ),
    (re.compile(r"GH001|large file", re.IGNORECASE), "large_file", "takes no file of this size", "see the last lines"),
    (
        re.compile(r"remote rejected|pre-receive hook declined|GH\d{3}:"),
        "hook",
        "refuses the push",
        "see the last lines: a rule of the repository, or a permission that the token lacks",
    ),
)
_REMOTE_ERRORS: tuple[tuple[re.Pattern[str], type[SquireError], str, str], ...] = (
    (
        re.compile(r"Authentication failed|could not read (?:Username|Password)|error: 401|Invalid username or"),
        GitHubAuthError,
        "does not accept the token",
        "renew the secret github-token",
    ),
    (
        re.compile(r"error: 403|Permission to .* denied|Write access to repository not granted"),
        GitHubPermissionError,
        "does not let the token do this",
        "the token needs the permission contents: write",
    ),
    (
        re.compile(r"error: 404|[Rr]epository .*not found|does not appear to be a git repository|does not exist"),
        GitHubNotFoundError,
        "has no such repository, or does not show it to the token",
        "check the repository's name and the token's access",
    ),
    (
        re.compile(
            r"Could not resolve|Failed to connect|Connection (?:refused|reset|timed out)|error: (?:5\d\d|429)"
            r"|early EOF|hung up|RPC failed|Operation timed out|SSL_|gnutls|TLS"
        ),
        GitHubUnavailableError,
        "does not answer as it should",
        "try again later",
    ),
)


def remote_error(error: GitError, remote: Remote) -> SquireError:
    """What a failed fetch or push means: one of the GitHub errors or PublishRefusedError, else `error` itself."""
    where = urlsplit(remote.url).netloc or "the repository"
    if error.context.get("timed_out"):
        return GitHubUnavailableError(f"{where} did not answer in time", hint="try again later", context=error.context)
    lines = error.context.get("last_lines")
    text = "\n".join(lines) if isinstance(lines, tuple) else ""
    for pattern, reason, what, hint in _REFUSALS:
        if pattern.search(text):
            return PublishRefusedError(f"{where} {what}", reason=reason, hint=hint, context=error.context)
    for pattern, kind, what, hint in _REMOTE_ERRORS:
        if pattern.search(text):
            return kind(f"{where} {what}", hint=hint, context=error.context)
    return error
