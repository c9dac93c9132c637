"""Who may use the board, by the settings: pure rules about hosts, origins, proxies and names."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from squire_pipelines.domain.terminal_text import one_line

MAX_NAME = 40
_MAX_PROXIES = 10
_NO_NAME = re.compile(r"[^\w.@+-]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")


def host_name(header: str) -> str:
    """Return the name or address in a `Host` header, without its port and in small letters; empty for none."""
    match = _HOST.fullmatch(header)
    return match[1].strip("[]").lower() if match else ""


def is_own_host(header: str, *, listens_on: str, public_url: str | None) -> bool:
    """Return whether a `Host` header names this server.

    Another site's name may be made to lead to loopback (DNS rebinding), so that a name has to be one that the settings
    have. An address is no name, and cannot be.
    """
    name = host_name(header)
    if not name:
        return False
    if name in {"localhost", listens_on.lower()} or (public_url and name == urlsplit(public_url).hostname):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_own_origin(origin: str, *, host: str, public_url: str | None) -> bool:
    """Return whether an `Origin` header is that of the page which this server has sent.

    Args:
        origin: The header.
        host: The request's `Host` header, which is known to be ours.
        public_url: Where people reach the board behind a proxy, which may send us another `Host`.
    """
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"}:
        return False
    public = urlsplit(public_url).netloc if public_url else ""
    return parts.netloc.lower() in {host.lower(), public.lower()} - {""}


def is_believed(address: str, proxies: Iterable[str]) -> bool:
    """Return whether an address is that of a proxy that the settings believe."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in ipaddress.ip_network(network) for network in proxies)


def address_behind(address: str, forwarded: str, proxies: Sequence[str]) -> str:
    """Return whose request it is: the address itself, or the one that the proxies before it saw, if they are believed.

    Args:
        address: From which the request came.
        forwarded: The header `X-Forwarded-For`: each proxy adds from whom it got the request at the end.
        proxies: Addresses and networks of those that are believed.
    """
    seen_by_proxies = [part.strip() for part in forwarded.split(",")][-_MAX_PROXIES:]
    while seen_by_proxies and is_believed(address, proxies):
        try:
            address = str(ipaddress.ip_address(seen_by_proxies.pop()))
        except ValueError:  # not what a proxy writes: it says nothing
            break
    return address


def person_name(text: str) -> str:
    """Return a person's name as the audit trail has it: letters, digits and `.@+-_`; empty where nothing is left."""
    return _NO_NAME.sub("-", one_line(text, limit=MAX_NAME)).strip("-")[:MAX_NAME]


def local_path(path: str) -> str:
    """Return where to go on after the login: a path of ours, or the first page for anything else."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if is_ours and path.isprintable() and path.isascii() else "/"
