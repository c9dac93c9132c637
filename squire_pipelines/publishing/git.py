"""Running git on the host: no configuration but ours, no hooks, no prompts, bounded in time, output and memory.

The one place that starts git. What is asked of git, and what its answers mean, lives in the other modules.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from squire_pipelines.bounded_process import ProcessLimits, ProcessOutput, run_bounded
from squire_pipelines.errors import GitError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.secrets import Redactor

DEFAULT_MAX_MEMORY = 2 * 2**30
_STDERR_LINES = 40  # GitHub's report of a rule's violations is long
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
_OUT_OF_MEMORY = re.compile(r"[Oo]ut of memory|[Cc]annot allocate memory|mmap failed|unable to create thread")


@dataclass(frozen=True, slots=True)
class GitLimits:
    """How much one run of git may take.

    Args:
        timeout_s: Then the whole process group is ended.
        max_output: Bytes of standard output.
        truncate: Whether output beyond `max_output` is left out rather than an error.
        max_memory: Bytes of address space of git and each of its children; None where only what GitHub sent is read.
    """

    timeout_s: float = 60.0
    max_output: int = 64 * 2**20
    truncate: bool = False
    max_memory: int | None = DEFAULT_MAX_MEMORY


DEFAULT_LIMITS = GitLimits()
_log = get_logger(Component.PUBLISHER)


def run_git(
    args: Sequence[str],
    *,
    git_dir: Path | None = None,
    stdin: bytes | BinaryIO | None = None,
    environment: Mapping[str, str] | None = None,
    config: Sequence[str] = (),
    remote: Remote | None = None,
    ok_codes: Sequence[int] = (0,),
    limits: GitLimits = DEFAULT_LIMITS,
) -> bytes:
    """Run git and return its standard output.

    Args:
        args: The subcommand and its arguments; never a secret.
        git_dir: The bare repository to work in; only ever one that no agent could write.
        stdin: Bytes, or an open file that git reads from its current position.
        environment: More variables for this one run.
        config: More `key=value` settings for this one run.
        remote: Whose protocol is allowed and whose token is offered; without it git reaches no other repository.
        ok_codes: Exit codes that are no error.
        limits: How much it may take.

    Raises:
        GitError: Another exit code, time over, too much output, too little memory, or no git at all. The context
            holds the arguments, the exit code and the last lines of standard error, free of the token.
    """
    frugal = _FRUGAL if limits.max_memory is not None else ()
    with contextlib.ExitStack() as stack:
        credentials = stack.enter_context(remote.credentials()) if remote else ()
        settings = (*_CONFIG, *frugal, *config, *credentials)
        command = ["git", *(part for setting in settings for part in ("-c", setting))]
        command += [f"--git-dir={git_dir}"] if git_dir else []
        if isinstance(stdin, bytes):
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(stdin)
            file.seek(0)
            stdin = file
        output = _run([*command, *args], _environment(remote, environment), stdin, limits)
    _log.debug("git.ran", command=args[0], git_dir=str(git_dir), exit_code=output.exit_code)
    if output.exit_code in ok_codes and not output.timed_out and not output.overflowed:
        return bytes(output.stdout)
    if output.overflowed and limits.truncate:
        return bytes(output.stdout)
    raise _failure(args, output, limits, Redactor([remote.token] if remote and remote.token else []))


def _environment(remote: Remote | None, more: Mapping[str, str] | None) -> dict[str, str]:
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
        "GIT_ALLOW_PROTOCOL": remote.protocol if remote else "",
        **(more or {}),
    }


def _run(command: list[str], environment: dict[str, str], stdin: BinaryIO | None, limits: GitLimits) -> ProcessOutput:
    """Run git within its limits and collect what it writes. Raises GitError when it cannot be started."""
    bounds = ProcessLimits(limits.timeout_s, limits.max_output, limits.max_memory)
    try:
        return run_bounded(command, environment=environment, stdin=stdin, limits=bounds)
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}", hint="install git 2.39 or later") from error


def _failure(args: Sequence[str], output: ProcessOutput, limits: GitLimits, redactor: Redactor) -> GitError:
    """Say why a run failed; the context's flags are what callers classify it by."""
    lines = redactor.redact(output.stderr.decode(errors="replace")).splitlines()[-_STDERR_LINES:]
    if output.timed_out:
        reason = f"took longer than {limits.timeout_s:g} s"
    elif output.overflowed:
        reason = f"wrote more than {limits.max_output} bytes"
    else:
        reason = f"failed with exit code {output.exit_code}"
        errors = [line for line in lines if line.startswith(("fatal:", "error:", "git:"))] or lines[-1:]
        reason += f": {errors[-1]}" if errors else ""
    return GitError(
        f"git {args[0]} {reason}",
        context={
            "args": tuple(args),
            "exit_code": output.exit_code,
            "timed_out": output.timed_out,
            "overflowed": output.overflowed,
            "out_of_memory": any(_OUT_OF_MEMORY.search(line) for line in lines),
            "last_lines": tuple(lines),
        },
    )
