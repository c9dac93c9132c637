"""The check of the ports on which Squire listens: each is free, or held by this home's own process."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import PortInUseError
from squire_pipelines.health.process_records import recorded_process
from squire_pipelines.runtime.ports import check_free, free_port
from squire_pipelines.sections.board import BoardSettings
from squire_pipelines.sections.observability import ObservabilitySettings

_PROC = Path("/proc")
_LISTENING = "0A"
_MAX_PROCESSES = 20_000
_ANSWER_TIMEOUT_S = 3.0
_MAX_ANSWER = 10_000
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses that are compared
_OWN_ANSWERS = {
    "webhooks.port": ("/healthz", "ok", "a webhook receiver of Squire's"),
    "pipeline.webserver_port": ("/server_info", "dagster_webserver_version", "Dagster's UI"),
    "observability.port": ("/", "squire", "an endpoint of Squire's"),
    "board.port": ("/healthz", "board", "a board of Squire's"),
}


@dataclass(frozen=True, slots=True)
class PortFacts:
    """What is known of a port.

    Args:
        name: Of the line.
        setting: The key of the settings that names it.
        host: The address.
        port: The number; 0 takes any free one.
        problem: Why it cannot be listened on; empty when it can.
        is_ours: Whether this home's own process holds it.
        holder: Which process holds it, in words; empty when that is not known.
        other: A port that is free.
        answers: What of Squire's answers there, in words; a deployment may have started it by other means.
    """

    name: str
    setting: str
    host: str
    port: int
    problem: str = ""
    is_ours: bool = False
    holder: str = ""
    other: int = 0
    answers: str = ""


def check_ports(context: CliContext) -> Iterator[Diagnosis]:
    """Check the ports of the webhook receiver, of Dagster's UI, of the operator's endpoint and of the board."""
    settings, run, ui = context.settings, context.home.run, context.settings.pipeline
    places = (
        ("port webhooks", "webhooks.port", settings.webhooks.host, settings.webhooks.port, "receiver"),
        ("port UI", "pipeline.webserver_port", ui.webserver_host, ui.webserver_port, "webserver"),
        *_enabled_places(settings.observability, settings.board),
    )
    for name, setting, host, port, process in places:
        facts = find_facts(name, setting, host, port, record=run / f"{process}.pid")
        yield judge_port(replace(facts, answers=_ask(facts)) if facts.other and not facts.is_ours else facts)


def _enabled_places(endpoint: ObservabilitySettings, board: BoardSettings) -> Iterator[tuple[str, str, str, int, str]]:
    if endpoint.enabled:
        yield "port metrics", "observability.port", endpoint.host, endpoint.port, "endpoint"
    if board.enabled:
        yield "port board", "board.port", board.host, board.port, "board"


def find_facts(name: str, setting: str, host: str, port: int, *, record: Path) -> PortFacts:
    """Find out about a port.

    Args:
        name: See `PortFacts`.
        setting: See `PortFacts`.
        host: See `PortFacts`.
        port: See `PortFacts`.
        record: The file that says which process of this home should hold it.
    """
    if port == 0:
        return PortFacts(name, setting, host, port)
    try:
        check_free(host, port, setting=setting)
    except PortInUseError as error:
        cause = error.__cause__
        is_taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
        holder = holder_of(port) if is_taken else None
        ours = recorded_process(record)
        is_ours = ours is not None and is_taken and (holder is None or _leader_of(holder) == ours)
        return PortFacts(
            name,
            setting,
            host,
            port,
            problem=error.message,
            is_ours=is_ours,
            holder=_process_name(holder) if holder is not None else "",
            other=free_port() if is_taken else 0,
        )
    return PortFacts(name, setting, host, port)


def judge_port(facts: PortFacts) -> Diagnosis:
    """Return the line about a port."""
    place = f"{facts.host}:{facts.port}"
    if facts.port == 0:
        return Diagnosis(facts.name, "ok", "any free one")
    if not facts.problem:
        return Diagnosis(facts.name, "ok", f"{place} is free")
    if facts.is_ours:
        return Diagnosis(facts.name, "ok", f"{place} is held by this home's own process")
    if facts.answers:
        return Diagnosis(facts.name, "ok", f"{place} is held by {facts.answers}, which this home has not started")
    if not facts.other:
        return Diagnosis(facts.name, "fail", facts.problem, f"change it: `squire config edit`, the key {facts.setting}")
    holder = f", which {facts.holder} holds" if facts.holder else ""
    step = f"stop that process, or run `squire config set {facts.setting} {facts.other}`"
    return Diagnosis(facts.name, "fail", f"{place} is in use{holder}", step)


def _ask(facts: PortFacts) -> str:
    """Return what of Squire's answers at a port; nothing when what answers is something else."""
    import httpx  # noqa: PLC0415 - only for a port that is taken

    path, key, name = _OWN_ANSWERS[facts.setting]
    host = _LOOPBACK.get(facts.host, facts.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{facts.port}{path}"
    try:
        with httpx.stream("GET", url, timeout=_ANSWER_TIMEOUT_S) as answer:
            document = json.loads(next(answer.iter_bytes(_MAX_ANSWER), b""))
    except (httpx.HTTPError, ValueError, RecursionError):
        return ""
    return name if isinstance(document, dict) and key in document else ""


def holder_of(port: int) -> int | None:
    """Return the process that listens on a port, None where the system does not tell this user."""
    sockets = {f"socket:[{inode}]" for inode in _listening_sockets(port)}
    if not sockets:
        return None
    with suppress(OSError):
        for folder in sorted(_PROC.glob("[0-9]*"))[:_MAX_PROCESSES]:
            with suppress(OSError):  # it has ended, or is another user's
                for descriptor in (folder / "fd").iterdir():
                    with suppress(OSError):
                        if str(descriptor.readlink()) in sockets:
                            return int(folder.name)
    return None


def _listening_sockets(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port, of proc(5)'s tables; none on another system."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _leader_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)  # our children lead sessions, and so groups, of their own
    except OSError:
        return None


def _process_name(pid: int) -> str:
    try:
        return f"process {pid} ({(_PROC / str(pid) / 'comm').read_text(encoding='utf-8', errors='replace').strip()})"
    except OSError:
        return f"process {pid}"
