"""Ports on this machine: is one free, which one is, and does somebody listen there."""

import socket

from squire_pipelines.errors import PortInUseError

_CONNECT_S = 0.2


def check_free(host: str, port: int, *, setting: str) -> None:
    """Raises PortInUseError, which names the setting, when something listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"port {port} on {host} cannot be used: {error.strerror}",
                hint=f"stop what listens there, or choose another {setting}",
            ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_listening(host: str, port: int) -> bool:
    """Return whether a server accepts connections; an address that stands for all is asked on this machine."""
    at = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - asked for, not listened on
    try:
        socket.create_connection((at, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
