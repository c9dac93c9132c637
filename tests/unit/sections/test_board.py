"""The settings of the board: an address that others reach needs a login."""

import pytest
from pydantic import ValidationError

from squire_pipelines.board.tenant_logins import MIN_TOKEN_CHARS, login_tokens
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.board import BoardSettings, board_address, is_loopback, known_address
from squire_pipelines.settings.model import load_settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "squire.example.com"])  # noqa: S104 - what is refused
def test_another_address_than_loopback_needs_a_login(host: str) -> None:
    with pytest.raises(ValidationError, match="needs login"):
        BoardSettings(host=host)
    assert BoardSettings(host=host, login="token").secret_names == ("board-token",)
    assert BoardSettings(host=host, login="proxy", proxies=("10.0.0.0/24",)).secret_names == ()


def test_a_proxy_is_believed_by_an_address_alone() -> None:
    with pytest.raises(ValidationError, match="needs `proxies`"):
        BoardSettings(login="proxy")
    with pytest.raises(ValidationError, match="no address and no network"):
        BoardSettings(login="proxy", proxies=("proxy.example.com",))


def test_loopback_needs_no_login_and_people_open_its_address() -> None:
    assert is_loopback("::1")
    assert not is_loopback("example.com")
    assert board_address(BoardSettings(host="::1")) == "http://[::1]:8473"
    assert board_address(BoardSettings(public_url="https://squire.example.com")) == "https://squire.example.com"


def test_a_token_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_BOARD__LOGIN", "token")
    with pytest.raises(ConfigError, match="board-token is missing"):
        login_tokens(load_settings())
    monkeypatch.setenv("SQUIRE_BOARD_TOKEN", "x" * (MIN_TOKEN_CHARS - 1))
    with pytest.raises(ConfigError, match="could be guessed"):
        login_tokens(load_settings())
    monkeypatch.setenv("SQUIRE_BOARD_TOKEN", "x" * MIN_TOKEN_CHARS)
    assert list(login_tokens(load_settings())) == [None]
    monkeypatch.setenv("SQUIRE_BOARD__LOGIN", "none")
    assert login_tokens(load_settings()) == {}


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (BoardSettings(), "http://127.0.0.1:8473"),
        (BoardSettings(enabled=False), None),
        (BoardSettings(port=0), None),
        (BoardSettings(host="10.0.0.5", login="token"), None),
        (BoardSettings(enabled=False, public_url="https://squire.example.com"), "https://squire.example.com"),
    ],
)
def test_a_link_leads_to_an_address_that_is_known(settings: BoardSettings, address: str | None) -> None:
    assert known_address(settings) == address


def test_each_tenant_has_a_token_of_its_own_and_no_two_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_BOARD__LOGIN", "token")
    monkeypatch.setenv("SQUIRE_REPOSITORIES", '["a/b", "c/d"]')
    tenants = '{"acme": {"repositories": ["a/b"], "house_secrets": ["board-token"]}, "beta": {"repositories": ["c/d"]}}'
    monkeypatch.setenv("SQUIRE_TENANTS", tenants)
    monkeypatch.setenv("SQUIRE_BOARD_TOKEN", "x" * 20)
    assert list(login_tokens(load_settings())) == [None], "the house's token is never a tenant's"
    monkeypatch.setenv("SQUIRE_TENANT_BETA_BOARD_TOKEN", "y" * 20)
    assert list(login_tokens(load_settings())) == [None, "beta"]
    monkeypatch.setenv("SQUIRE_TENANT_BETA_BOARD_TOKEN", "x" * 20)
    with pytest.raises(ConfigError, match="another login's too"):
        login_tokens(load_settings())
