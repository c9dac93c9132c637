"""Which requests for a named registry may pass, where they go, and how its answers lead back to the gateway. Pure.

`/egress/NAME/PATH` leads to the registry's base URL, `/egress/NAME/~1/PATH` to the first of its further places. A path
is taken apart, checked and rebuilt, so that nothing but a plain path can reach the other side.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from squire_pipelines.gateway.refusals import RefusalError

EGRESS_PREFIX = "/egress/"
MAX_PATH_CHARS = 1024
_RANGE = re.compile(rb"bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15})")
_ACCEPTED = re.compile(
    rb"([a-z*]{1,20}/[a-z0-9.+*-]{1,60})\s{0,4}(?:;\s{0,4}(q=[01](?:\.[0-9]{0,3})?))?", re.IGNORECASE
)
_MAX_FORMS = 10
_RETURNED = frozenset(
    {"content-type", "content-range", "accept-ranges", "cache-control", "last-modified", "retry-after"}
)
# Documents in which registries name files by absolute URLs: the list of a package's files, in each of its forms.
_INDEXES = frozenset(
    {
        "application/json",
        "application/vnd.npm.install-v1+json",
        "application/vnd.pypi.simple.v1+json",
        "application/vnd.pypi.simple.v1+html",
        "text/html",
    }
)
_FORMS = frozenset({*_INDEXES, "application/octet-stream", "application/xml", "text/xml", "text/plain", "*/*"})
_SAFE = "@!$&'()*+,;=:~"
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is assigned for the public internet
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Registry:
    """One named registry.

    Args:
        name: As it stands in the path.
        base_url: `https://registry.example.com/`; paths are below it.
        files: Further base URLs to which the registry's answers may lead.
    """

    name: str
    base_url: str
    files: tuple[str, ...] = ()

    @property
    def bases(self) -> tuple[str, ...]:
        """All base URLs, each with a slash at its end."""
        return tuple(base.rstrip("/") + "/" for base in (self.base_url, *self.files))


@dataclass(frozen=True, slots=True)
class RegistryTarget:
    """Where one request goes."""

    registry: Registry
    url: str

    @property
    def host(self) -> str:
        """The host, with its port if it is named, as it is recorded."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def route(method: str, raw_path: bytes, query: bytes, registries: Mapping[str, Registry]) -> RegistryTarget:
    """Return where a request leads. Raises RefusalError unless it is a plain reading of a named registry."""
    if method not in {"GET", "HEAD"}:
        raise RefusalError("method", "registries are read-only: GET and HEAD")
    if query:
        raise RefusalError("egress", "a registry is read without a query")
    if len(raw_path) > MAX_PATH_CHARS:
        raise RefusalError("egress", f"the path is longer than {MAX_PATH_CHARS} characters", status=414)
    name, _, rest = raw_path.decode("latin-1").removeprefix(EGRESS_PREFIX).partition("/")
    registry = registries.get(name)
    if registry is None:
        names = ", ".join(registries) or "none"
        raise RefusalError("egress", f"no registry named {name[:50]!r} is open; open are: {names}")
    bases = registry.bases
    first, _, after = rest.partition("/")
    number = 0
    if first.startswith("~"):
        number = int(first[1:]) if first[1:].isdecimal() else len(bases)
        rest = after
        if not 0 < number < len(bases):
            raise RefusalError("egress", f"{name} has no place {first[:10]}")
    segments = rest.split("/")
    if not all(segments[:-1]):
        raise RefusalError("egress", "the path has an empty part")
    return RegistryTarget(registry, bases[number] + "/".join(_segment(segment) for segment in segments))


def _segment(raw: str) -> str:
    """Return one part of a path, decoded, checked and encoded again; npm's %2f after a scope stays as it is."""
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise RefusalError("egress", "the path is not UTF-8") from error
    parts = text.split("/")
    odd = any(not part.isprintable() or "\\" in part for part in parts)
    if odd or any(part in {".", ".."} for part in parts) or (len(parts) > 1 and (not all(parts) or parts[0][0] != "@")):
        raise RefusalError("egress", "the path is not a plain one")
    return "%2f".join(quote(part, safe=_SAFE) for part in parts)


def check_no_body(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise RefusalError for a reading that carries something."""
    for name, value in headers:
        if name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value.strip(b"0 ")):
            raise RefusalError("egress", "a registry is read without a body")


def request_headers(headers: Iterable[tuple[bytes, bytes]], url: str) -> list[tuple[bytes, bytes]]:
    """Return the headers for a registry: the form and the part that is asked for, and nothing that says who asks.

    Both are rebuilt from what is known, so that they carry nothing of the agent's.
    """
    asked = {name.lower(): value for name, value in headers}
    part = asked.get(b"range", b"")
    host = urlsplit(url).netloc.rpartition("@")[2].encode()
    return [
        (b"host", host),
        (b"accept", _accepted(asked.get(b"accept", b""))),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"squire-gateway"),
        *([(b"range", part)] if _RANGE.fullmatch(part) else []),
    ]


def _accepted(value: bytes) -> bytes:
    """Return the known forms of an answer that are asked for, each once, with its weight; any form for none."""
    forms: dict[bytes, bytes] = {}
    for entry in value.split(b",")[:_MAX_FORMS]:
        match = _ACCEPTED.fullmatch(entry.strip())
        if match and match[1].lower().decode() in _FORMS:
            forms.setdefault(match[1].lower(), b";" + match[2].lower() if match[2] else b"")
    return b", ".join(form + weight for form, weight in forms.items()) or b"*/*"


def response_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the agent, but for the length and the place of a redirect."""
    return [(name.lower(), value) for name, value in headers if name.lower().decode("latin-1") in _RETURNED]


def is_index(content_type: str) -> bool:
    """Return whether a body may name files by URLs that have to be rewritten."""
    return content_type.partition(";")[0].strip().lower() in _INDEXES


def rewrite_urls(body: bytes, registry: Registry, gateway_url: str) -> bytes:
    """Return an index whose URLs below the registry's bases lead through the gateway at `http://HOST:PORT`."""
    for number, base in enumerate(registry.bases):
        proxied = _proxied_base(registry, number, gateway_url)
        body = body.replace(base.encode(), proxied.encode())
        body = body.replace(base.replace("/", "\\/").encode(), proxied.replace("/", "\\/").encode())
    return body


def redirected(location: str, target: RegistryTarget, gateway_url: str) -> str:
    """Return where a redirect leads within the gateway. Raises RefusalError when it leaves the named places."""
    url = urljoin(target.url, location)
    for number, base in enumerate(target.registry.bases):
        if url.startswith(base) and not urlsplit(url).query:
            return _proxied_base(target.registry, number, gateway_url) + url.removeprefix(base)
    host = (urlsplit(url).hostname or "?")[:100]
    raise RefusalError("redirect", f"{target.registry.name} redirects to {host}, which is not among its places")


def _proxied_base(registry: Registry, number: int, gateway_url: str) -> str:
    return f"{gateway_url}{EGRESS_PREFIX}{registry.name}/" + (f"~{number}/" if number else "")


def check_address(host: str, address: str) -> None:
    """Raise RefusalError for an address that is not on the public internet: a name must not lead into our networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        addresses += [inner for inner in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if inner is not None]
        if ip in _NAT64:
            addresses.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    is_inner = isinstance(ip, ipaddress.IPv6Address) and not any(ip in net for net in (_UNICAST, _NAT64, _MAPPED))
    if is_inner or any(not entry.is_global or entry.is_multicast for entry in addresses):
        raise RefusalError(
            "address",
            f"{host[:100]} has the address {address}, which is not public; `gateway.allow_private` would allow it",
        )
