"""The section of the settings about the board: where it listens, who may use it, and where Dagster's UI is."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.secret_names import BOARD_TOKEN
from squire_pipelines.sections.types import BaseUrl, ListenHost, Name, Seconds, SettingsSection

_HEADER = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_network(text: str) -> str:
    """Return an address, or a network such as 10.0.0.0/8, as it is. Raises ValueError."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("no address and no network; for example 10.0.0.7 or 10.0.0.0/24") from None
    return text


Network = Annotated[str, AfterValidator(check_network)]


class BoardSettings(SettingsSection):
    """The board: Squire's own web pages."""

    enabled: bool = Field(default=True, description="whether `squire dev` serves it")
    host: ListenHost = Field(default="127.0.0.1", description="another than loopback needs a `login`")
    port: int = Field(default=8473, ge=0, le=65535)
    login: Literal["none", "token", "proxy"] = Field(
        default="none",
        description='"token": people give the secret board-token; "proxy": a proxy has signed them in and names them',
    )
    proxies: tuple[Network, ...] = Field(
        default=(), max_length=20, description="addresses of those that are believed: who a person is, and from where"
    )
    proxy_header: str = Field(
        default="X-Forwarded-User", pattern=_HEADER, description="in which a proxy names the person"
    )
    operators: tuple[Name, ...] = Field(
        default=(), max_length=1000, description="with tenants, the people named by a proxy who see all of them"
    )
    public_url: BaseUrl | None = Field(default=None, description="where people reach it, behind a proxy")
    dagster_url: BaseUrl | None = Field(
        default=None, description="where people reach Dagster's UI; by default where `squire dev` serves it"
    )
    session_s: Seconds = Field(default=43_200, ge=60, le=2_592_000, description="how long a session lasts")
    max_sessions: int = Field(
        default=200, ge=1, le=10_000, description="at once; the one that was used longest ago ends for a new one"
    )
    requests_per_minute: int = Field(
        default=600, ge=10, le=100_000, description="of one person or address; of those that change something a tenth"
    )

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.login == "proxy" and not self.proxies:
            raise ValueError('login = "proxy" needs `proxies`: the addresses of those that are believed')
        if self.login == "none" and not is_loopback(self.host):
            raise ValueError('another host than loopback needs login = "token" or "proxy"')
        return self

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the secrets that the board needs."""
        return (BOARD_TOKEN,) if self.login == "token" else ()


def board_address(settings: BoardSettings) -> str:
    """Return where people open the board."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return settings.public_url or f"http://{host}:{settings.port}"


def known_address(settings: BoardSettings) -> str | None:
    """Return the address that a link may lead to; None where there is no board, or nobody has said how to reach it.

    A host other than loopback may be one of several names of the machine, and most often has a proxy before it.
    """
    if settings.public_url is not None:
        return settings.public_url
    is_here = settings.enabled and settings.port != 0 and is_loopback(settings.host)
    return board_address(settings) if is_here else None
