"""The section of the settings about work on several machines: what carries runs, and when a worker is lost."""

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.domain.worker_rules import check_label, check_labels
from squire_pipelines.secret_names import BROKER_KEY
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.types import Seconds, SettingsSection

_SCHEMES = ("redis", "rediss", "amqp", "amqps")
_EXAMPLE = "the broker's URL looks like redis://host:6379/0 or amqp://user@host/squire"
_USER = re.compile(r"[A-Za-z0-9._~%-]{0,100}")


def check_broker_url(text: str) -> str:
    """Return a broker's URL as it is. Raises ValueError for one that names none, or that has a password in it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise hidden_error(_EXAMPLE) from None
    if parts.password is not None:
        raise hidden_error(f"the broker's password is the secret {BROKER_KEY}: `squire secrets set {BROKER_KEY}`")
    usable = parts.scheme in _SCHEMES and parts.hostname and port != 0 and _USER.fullmatch(parts.username or "")
    if not usable or parts.query or parts.fragment:
        raise hidden_error(_EXAMPLE)
    return text


BrokerUrl = Annotated[str, AfterValidator(check_broker_url), HIDDEN]
_Label = Annotated[str, AfterValidator(check_label)]
WorkerLabels = Annotated[tuple[_Label, ...], AfterValidator(check_labels)]
"""Of an agent: those that a worker must have to run it."""


class WorkerSettings(SettingsSection):
    """Runs on several machines: a broker carries them to `squire worker` processes. Without one they run here."""

    broker_url: BrokerUrl | None = Field(
        default=None, description="redis:// or amqp://, without a password, which is the secret broker-key"
    )
    broker_timeout_s: float = Field(default=5, ge=1, le=60, description="for the broker to answer")
    heartbeat_s: float = Field(
        default=5, ge=0.2, le=60, description="how often a worker says in the ledger that it lives"
    )
    lost_after_s: Seconds = Field(default=30, ge=1, description="a worker that was not seen for so long is lost")
    resend_after_s: Seconds = Field(
        default=60, ge=1, description="a run that no worker took meanwhile is put into the queue again"
    )
    drain_s: Seconds = Field(
        default=2100, description="how long a worker that is told to end lets its runs go on; then they are interrupted"
    )

    @model_validator(mode="after")
    def _beats_in_time(self) -> Self:
        if self.lost_after_s < 2 * self.heartbeat_s:
            raise ValueError(
                f"lost_after_s = {self.lost_after_s:g} is less than two beats of heartbeat_s = {self.heartbeat_s:g}"
            )
        return self

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the secrets that the section makes use of."""
        return () if self.broker_url is None else (BROKER_KEY,)
