"""Makes the HTTP clients that speak to GitHub."""

import httpx

from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.trusted_certificates import tls_context


def new_http_client(settings: GitHubSettings) -> httpx.AsyncClient:
    """Return a client with the settings' time limit and as many connections as there may be requests at once."""
    most = settings.max_concurrent_requests
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    return httpx.AsyncClient(verify=tls_context(), timeout=settings.timeout_s, limits=limits)
