"""A board over a home of the test's own, asked without a socket, as a browser would ask it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from types import MappingProxyType

from starlette.testclient import TestClient

from squire_pipelines.board.app import create_board
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.home import Home
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.reloading.in_force import settings_in_force
from squire_pipelines.secrets.secret import Secret
from tests.support.settings_files import write_settled

ADDRESS = "http://127.0.0.1:8473"
_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


@contextmanager
def open_board(
    ledger: Ledger,
    *,
    settings: str = "",
    token: Secret | None = None,
    of_tenants: Mapping[str | None, Secret] = MappingProxyType({}),
    client: str = "127.0.0.1",
) -> Iterator[TestClient]:
    """Open the board of the test's home with these settings.

    Args:
        ledger: The home's ledger.
        settings: The text of the settings' file.
        token: What people give to log in.
        of_tenants: What those of tenants give.
        client: The address that requests come from.
    """
    if settings:
        write_settled(Home.from_environment().config_file, settings)
    tokens: dict[str | None, Secret] = dict(of_tenants)
    if token is not None:
        tokens[None] = token
    app = create_board(BoardReadings(settings_in_force(), ledger), tokens=lambda: tokens, local_user="ada")
    with TestClient(app, base_url=ADDRESS, client=(client, 50_000), follow_redirects=False) as browser:
        yield browser


def hidden_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of a page's forms, of each name the last."""
    return {name: unescape(value) for name, value in _FIELD.findall(html)}
