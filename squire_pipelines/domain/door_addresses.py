"""Where the door of an attempt is, by which a container on another machine gets its inputs and hands out its result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DoorAddress:
    """A host, by its name or address without brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "DoorAddress":
        """Return what `host:port` or `[address]:port` names. Raises ValueError."""
        host, separator, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r} is no address: write an IPv6 address in brackets, as in [fd00::1]:8788")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
        if not separator or not is_port or not host or not host.isascii() or set(host) & set(" \t\r\n/@[]"):
            raise ValueError(f"{text!r} is no address: it looks like squire-door:8788")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RegisteredDoor:
    """The door that a unit has now.

    Args:
        unit: An attempt, or a part of one.
        address: Of the process that supervises the container.
        token_sha256: Of the container's token, in hexadecimal digits.
    """

    unit: str
    address: DoorAddress
    token_sha256: str
