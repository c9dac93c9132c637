"""What a package implements to read what another sender delivers, and the facts that it yields.

The page docs/reference/hooks.md explains it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.hook_schemes import HmacScheme, StandardScheme, TokenScheme
from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.sources.protocol import MAX_BODY, Key

MAX_TITLE = 300
MAX_FACTS_OF_DELIVERY = 100


class HookFact(FrozenModel):
    """One fact about a repository that a delivery tells.

    `key` names it among the sender's facts about the repository and stays the same while it lasts; a fact whose `state`
    is `closed` ends it, and needs no title. `version` changes when the fact does; without one, title, body and severity
    are the version.
    """

    repository: Annotated[str, AfterValidator(parse_repository)]
    key: Key
    title: str = Field(default="", max_length=MAX_TITLE)
    body: str = Field(default="", max_length=MAX_BODY)
    url: str = Field(default="", max_length=2_000, pattern=r"^(https?://\S+)?$")
    state: Literal["open", "closed"] = "open"
    author: str = Field(default="", max_length=200)
    severity: str = Field(default="", max_length=50)
    version: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _open_ones_have_a_title(self) -> Self:
        if self.state == "open" and not self.title.strip():
            raise ValueError("a fact that is open has a title")
        return self


@dataclass(frozen=True, slots=True)
class HookContext:
    """What a reader knows beside the body.

    Args:
        hook: The sender's name in the settings, and in the path `/hooks/NAME`.
        event: What the delivery is about, in the sender's word.
        received_at: When it came, by the ledger's clock.
        repositories: That facts may be about; a fact about another one is an error of the delivery.
        projects: Names that the sender has for repositories, from the settings.
        options: From the settings, for the reader, which checks them.
    """

    hook: str
    event: str
    received_at: datetime
    repositories: tuple[str, ...]
    projects: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def refuse_options(context: HookContext, reader: str) -> None:
    """Raise ValueError where the settings have options for a reader that has none."""
    if context.options:
        raise ValueError(f"the reader {reader} has no options: take hooks.{context.hook}.options out of the settings")


class HookSource(Protocol):
    """A reader of what a sender delivers. It is made without arguments, in a process of its own that has no secrets.

    `name` is the entry point's, and `scheme` is how the sender signs where the settings do not say otherwise.
    """

    name: str
    scheme: HmacScheme | StandardScheme | TokenScheme

    def read(self, payload: Any, context: HookContext) -> Iterable[HookFact]:
        """Return the facts of a body, which is JSON and was verified. It asks nobody and keeps nothing.

        The same body always gives the same facts. Whatever is raised sets the delivery aside.
        """
        ...
