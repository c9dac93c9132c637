"""A browser that makes a GitHub App: it reads forms, sends them, and goes where it is sent."""

import re
from html import unescape
from urllib.parse import urljoin

import httpx

_FIELD = re.compile(r'<input[^>]*? name="([^"]*)"[^>]*? value="([^"]*)"')
_NAMED_FIRST = re.compile(r'<input name="([^"]*)" value="([^"]*)"')
_ACTION = re.compile(r'<form[^>]*? action="([^"]*)"')


class Browser:
    """Follows the pages of an App's registration by their forms.

    Args:
        name: What the person calls the App instead of what is proposed; None keeps that.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.pages: list[httpx.Response] = []

    def make_app(self, html: str) -> str:
        """Send the form of Squire's page, agree to it at GitHub, and return where GitHub sends the browser."""
        asked = self._submit(html, "")
        return self._submit(asked.text, str(asked.url), **({"name": self.name} if self.name else {})).headers[
            "location"
        ]

    def go(self, url: str) -> httpx.Response:
        """Open an address, and follow where it leads."""
        self.pages.append(httpx.get(url, follow_redirects=True, timeout=30, trust_env=False))
        return self.pages[-1]

    def install(self, page: httpx.Response) -> httpx.Response:
        """Press the button of an App's page."""
        return httpx.post(str(page.url), timeout=30, trust_env=False)

    def _submit(self, html: str, base: str, **changed: str) -> httpx.Response:
        action = _ACTION.search(html)
        assert action, html
        fields = {name: unescape(value) for name, value in (*_FIELD.findall(html), *_NAMED_FIRST.findall(html))}
        return httpx.post(urljoin(base, unescape(action[1])), data=fields | changed, timeout=30, trust_env=False)
