"""The certificates that all clients of this process trust: read once, which takes longer than many a request."""

import ssl
from functools import cache

import httpx


@cache
def tls_context() -> ssl.SSLContext:
    """Return httpx's own context, the same for all clients of the process."""
    return httpx.create_ssl_context()
