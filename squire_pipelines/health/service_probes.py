"""The probes of this home's own servers: the receiver, the code server and the UI."""

import json
import socket

import httpx

from squire_pipelines.domain.service_rules import server_state
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.process_records import process_facts
from squire_pipelines.home import Home
from squire_pipelines.settings.model import Settings

_EVERY_S = 15.0
_TIMEOUT_S = 6.0
_ANSWER_TIMEOUT_S = 3.0
_MAX_FILE = 64 * 2**10
_FIRST_ERROR = 400
_MAX_REASON = 200
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses that are compared


def receiver_probe(settings: Settings) -> Probe:
    """Return the probe of this home's webhook receiver."""
    return Probe("receiver", ("receiver",), _EVERY_S, _TIMEOUT_S, lambda: look_at_receiver(settings))


def look_at_receiver(settings: Settings) -> States:
    """Ask the receiver that this home has started; nothing is known where it has started none."""
    process = process_facts(settings.home.run / "receiver.pid")
    if not process.is_recorded:
        return {}
    problem = ""
    if process.is_alive and not process.is_suspended and settings.webhooks.port:
        host = _LOOPBACK.get(settings.webhooks.host, settings.webhooks.host)
        place = f"[{host}]" if ":" in host else host
        try:
            answer = httpx.get(f"http://{place}:{settings.webhooks.port}/readyz", timeout=_ANSWER_TIMEOUT_S)
            problem = "" if answer.status_code < _FIRST_ERROR else _refusal(answer)
        except httpx.HTTPError as error:
            problem = type(error).__name__
    return {"receiver": server_state("webhook receiver", process, problem, is_vital=False)}


def _refusal(answer: httpx.Response) -> str:
    """Return what a receiver says that is not ready; another program may listen at its port."""
    try:
        reason = one_line(str(answer.json()["reason"]), limit=_MAX_REASON)
    except (ValueError, KeyError, TypeError):
        reason = "no reason"
    return f"its /readyz says {answer.status_code}: {reason}"


def interface_probe(settings: Settings) -> Probe:
    """Return the probe of Dagster's UI, without which everything goes on."""
    return Probe("ui", ("ui",), _EVERY_S, _TIMEOUT_S, lambda: look_at_interface(settings.home))


def look_at_interface(home: Home) -> States:
    """Look at the process of the UI that this home has started; nothing is known where it has started none."""
    process = process_facts(home.run / "webserver.pid")
    if not process.is_recorded:
        return {}
    return {"ui": server_state("user interface", process, "", is_vital=False)}


def code_server_probe(settings: Settings) -> Probe:
    """Return the probe of this home's code server, in which sensors are evaluated and runs start."""
    return Probe("code_server", ("code_server",), _EVERY_S, _TIMEOUT_S, lambda: look_at_code_server(settings.home))


def look_at_code_server(home: Home) -> States:
    """Connect to the code server that this home has started; nothing is known where it has started none."""
    process = process_facts(home.run / "code-server.pid")
    if not process.is_recorded:
        return {}
    problem = ""
    if process.is_alive and not process.is_suspended and (path := _code_server_socket(home)):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_ANSWER_TIMEOUT_S)
                probe.connect(path)
        except OSError as error:
            problem = error.strerror or type(error).__name__
    return {"code_server": server_state("code server", process, problem, is_vital=True)}


def _code_server_socket(home: Home) -> str:
    """Return the path of the code server's socket, as the file that Dagster's programs read names it."""
    try:
        with (home.run / "workspace.yaml").open("rb") as file:
            document = json.loads(file.read(_MAX_FILE))
        return str(document["load_from"][0]["grpc_server"]["socket"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
