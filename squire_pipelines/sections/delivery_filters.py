"""The section of the settings that says which deliveries ask for nothing: rules in their order."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from squire_pipelines.domain.delivery_filters import DeliveryRule
from squire_pipelines.sections.types import SettingsSection, check_name, matching

MAX_RULES = 50
MAX_PATTERNS = 50
_Pattern = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(check_name)]
RuleName = Annotated[
    str,
    matching(r"[a-z0-9][a-z0-9_-]{0,39}", "a rule's name has up to 40 small letters, digits, - and _, like no-bots"),
]


def _refuse_text(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        raise ValueError(f'{info.field_name} is a list: {info.field_name} = ["{value}"]')  # noqa: TRY004 - pydantic's
    return value


Patterns = Annotated[tuple[_Pattern, ...], BeforeValidator(_refuse_text), Field(max_length=MAX_PATTERNS)]


class DeliveryFilterSettings(SettingsSection):
    """A rule: deliveries that are all that it names ask for nothing. The first rule that matches counts."""

    name: RuleName
    keep: bool = Field(default=False, description="let through what matches, whatever rules come after it")
    repositories: Patterns = Field(default=(), description="globs, such as acme/*; so are all lists of a rule")
    senders: Patterns = Field(default=(), description="logins; one without [bot] means the App of that name, too")
    bots: bool | None = Field(default=None, description="true: for bots alone; false: for all others alone")
    events: Patterns = Field(default=(), description="such as issue_comment")
    actions: Patterns = Field(default=(), description="such as edited")
    branches: Patterns = Field(default=(), description="one that was pushed, or head or base of the pull request")
    paths: Patterns = Field(default=(), description="all that a push changed; with keep, one of them")
    labels: Patterns = Field(default=(), description="one that the issue or pull request has")
    sources: Patterns = Field(default=(), description="github or names of [hooks], with events at most; else github")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.bots is None and not any(getattr(self, name) for name in _LISTS):
            raise ValueError(f"the rule {self.name!r} names nothing to match: set one of bots, {', '.join(_LISTS)}")
        if self.sources and (more := [name for name in ("bots", *_LISTS[:-2]) if self._says(name)]):
            raise ValueError(
                f"the rule {self.name!r} names sources, and {more[0]}: what another sender's delivery is about is not "
                "known when it comes, but for its event. Make two rules of it, or remove one of the keys"
            )
        return self

    def _says(self, name: str) -> bool:
        return getattr(self, name) not in {None, ()}

    @property
    def rule(self) -> DeliveryRule:
        """The rule as it is applied."""
        return DeliveryRule(**self.model_dump())


_LISTS = ("repositories", "senders", "actions", "branches", "paths", "labels", "events", "sources")


def _check_rules(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("it is a list of rules: write [[webhooks.filters]] above each")  # noqa: TRY004 - pydantic's
    return value


def _refuse_one_name_twice(rules: tuple[DeliveryFilterSettings, ...]) -> tuple[DeliveryFilterSettings, ...]:
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two rules are called {', '.join(twice)}, and what they filter is known by their names")
    return rules


DeliveryFilters = Annotated[
    tuple[DeliveryFilterSettings, ...],
    BeforeValidator(_check_rules),
    Field(max_length=MAX_RULES),
    AfterValidator(_refuse_one_name_twice),
]
"""The rules in their order."""
