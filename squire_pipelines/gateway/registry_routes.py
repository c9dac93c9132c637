"""The ways out by name: which requests for a registry may pass, where they go, and how its answers lead back. Pure.

`/egress/NAME/PATH` leads to the registry's base URL, `/egress/NAME/~1/PATH` to the first of its further places. A path
is taken apart, checked and put together anew, so that nothing but a plain path can reach the other side.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from squire_pipelines.gateway.rules import RefusalError

EGRESS_PREFIX = "/egress/"
MAX_PATH_CHARS = 1024
_PASSED = frozenset({"accept", "range"})
_MAX_HEADER_CHARS = 300
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
_SAFE = "@!$&'()*+,;=:~"


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
class Target:
    """Where one request goes."""

    way: Registry
    url: str

    @property
    def host(self) -> str:
        """For the books: the host and its port, if it is named."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def route(method: str, raw_path: bytes, query: bytes, ways: Mapping[str, Registry]) -> Target:
    """Where a request leads. Raises RefusalError unless it is a plain reading of a named registry."""
    if method not in {"GET", "HEAD"}:
        raise RefusalError(405, "method", "the way out is read-only: GET and HEAD")
    if query:
        raise RefusalError(403, "egress", "the way out takes no query")
    if len(raw_path) > MAX_PATH_CHARS:
        raise RefusalError(414, "egress", f"the path is longer than {MAX_PATH_CHARS} characters")
    name, _, rest = raw_path.decode("latin-1").removeprefix(EGRESS_PREFIX).partition("/")
    way = ways.get(name)
    if way is None:
        raise RefusalError(
            403, "egress", f"there is no way out named {name[:50]!r}; there are: {', '.join(ways) or 'none'}"
        )
    bases = way.bases
    first, _, after = rest.partition("/")
    number = 0
    if first.startswith("~"):
        number = int(first[1:]) if first[1:].isdigit() else len(bases)
        rest = after
        if not 0 < number < len(bases):
            raise RefusalError(403, "egress", f"{name} has no place {first[:10]}")
    return Target(way, bases[number] + "/".join(_segment(each) for each in _split(rest)))


def _split(path: str) -> list[str]:
    segments = path.split("/")
    if any(not each for each in segments[:-1]):
        raise RefusalError(403, "egress", "the path has an empty part")
    return segments


def _segment(raw: str) -> str:
    """One part of a path, decoded, checked and encoded anew. npm writes a scope's slash as %2f, which stays one."""
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise RefusalError(403, "egress", "the path is not UTF-8") from error
    parts = text.split("/")
    odd = any(not part.isprintable() or "\\" in part for part in parts)
    if odd or any(part in {".", ".."} for part in parts) or (len(parts) > 1 and (not all(parts) or parts[0][0] != "@")):
        raise RefusalError(403, "egress", "the path is not a plain one")
    return "%2f".join(quote(part, safe=_SAFE) for part in parts)


def check_no_body(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises RefusalError for a reading that carries something."""
    for name, value in headers:
        if name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value.strip(b"0 ")):
            raise RefusalError(403, "egress", "the way out takes no body")


def request_headers(headers: Iterable[tuple[bytes, bytes]], url: str) -> list[tuple[bytes, bytes]]:
    """The headers for a registry: which form is wanted, which part of it, and nothing that says who asks."""
    passed = {
        name.lower(): value
        for name, value in headers
        if name.lower().decode("latin-1") in _PASSED and len(value) <= _MAX_HEADER_CHARS
    }
    host = urlsplit(url).netloc.rpartition("@")[2].encode()
    return [
        (b"host", host),
        (b"accept", passed.get(b"accept", b"*/*")),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"squire-gateway"),
        *((name, value) for name, value in passed.items() if name == b"range"),
    ]


def response_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers for the agent, but for the length and the place of a redirect."""
    return [(name.lower(), value) for name, value in headers if name.lower().decode("latin-1") in _RETURNED]


def is_index(content_type: str) -> bool:
    """Whether a body may name files by URLs that have to be led back through the gateway."""
    return content_type.partition(";")[0].strip().lower() in _INDEXES


def rewrite_urls(body: bytes, way: Registry, here: str) -> bytes:
    """An index whose URLs below the registry's bases lead through the gateway. `here` is `http://HOST:PORT`."""
    for number, base in enumerate(way.bases):
        mine = _mine(way, number, here)
        body = body.replace(base.encode(), mine.encode())
        body = body.replace(base.replace("/", "\\/").encode(), mine.replace("/", "\\/").encode())
    return body


def redirected(location: str, target: Target, here: str) -> str:
    """Where a redirect leads within the gateway. Raises RefusalError when it leaves the named places."""
    url = urljoin(target.url, location)
    for number, base in enumerate(target.way.bases):
        if url.startswith(base) and not urlsplit(url).query:
            return _mine(target.way, number, here) + url.removeprefix(base)
    host = urlsplit(url).hostname or "?"
    raise RefusalError(502, "redirect", f"{target.way.name} redirects to {host[:100]}, which is not among its places")


def _mine(way: Registry, number: int, here: str) -> str:
    return f"{here}{EGRESS_PREFIX}{way.name}/" + (f"~{number}/" if number else "")


def check_address(host: str, address: str) -> None:
    """Raises RefusalError for an address that is not on the public internet: a name must not lead into our networks."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        inner += [each for each in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if each is not None]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    if any(not each.is_global or each.is_multicast for each in inner):
        raise RefusalError(
            403,
            "address",
            f"{host[:100]} has the address {address}, which is not public; `gateway.allow_private` would allow it",
        )


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
