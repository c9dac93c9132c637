"""The rules on `[hooks]` that need more than one table: readers that are there, repositories of the settings."""

from collections.abc import Collection, Mapping, Sequence

from squire_pipelines.domain.deliveries import UNKNOWN_SENDER, DeliverySource
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.signals import HOOKS_SOURCE, MANUAL_SOURCE, Source
from squire_pipelines.sections.delivery_filters import DeliveryFilterSettings
from squire_pipelines.sections.hooks import HookSettings
from squire_pipelines.settings.keys import SettingValueError
from squire_pipelines.source_names import hook_readers

_TAKEN = frozenset({*DeliverySource, *Source, MANUAL_SOURCE, HOOKS_SOURCE, UNKNOWN_SENDER})
"""Names of what else deliveries and signals come from."""


def check_filtered_sources(rules: Sequence[DeliveryFilterSettings], hooks: Collection[str]) -> None:
    """Raise SettingValueError for a rule on deliveries that names a sender which the settings do not have.

    A file with rules alone, which are to be tried, names no senders.
    """
    if not hooks:
        return
    known = (DeliverySource.GITHUB.value, *hooks)
    for rule in rules:
        for pattern in rule.sources:
            if not any(matches(name, [pattern], beneath=False) for name in known):
                raise SettingValueError(
                    f"the rule {rule.name!r} names the source {pattern!r}, which is none of {', '.join(known)}",
                    key=("webhooks", "filters"),
                )


def check_hooks(hooks: Mapping[str, HookSettings], repositories: Sequence[str]) -> None:
    """Raise SettingValueError for a sender whose name is taken, whose reader is not there, or that names strangers.

    Args:
        hooks: By name.
        repositories: Of the settings.
    """
    if not hooks:
        return
    known, readers = set(repositories), hook_readers()
    for name, hook in hooks.items():
        if name in _TAKEN:
            raise SettingValueError(f"[hooks.{name}]: the name stands for something else", key=("hooks", name))
        reader = hook.reader_of(name)
        if reader not in readers:
            key = ("hooks", name, "reader") if hook.reader else ("hooks", name)
            raise SettingValueError(
                f"[hooks.{name}]: there is no reader {reader!r}; set `reader` to one of {', '.join(readers)}, and "
                "others come with a package",
                key=key,
            )
        for field, names in (("repositories", hook.repositories), ("projects", hook.projects.values())):
            if strange := next((one for one in names if one not in known), None):
                raise SettingValueError(
                    f"[hooks.{name}]: {field} name {strange!r}, which is not among repositories, or not so spelled",
                    key=("hooks", name, field),
                )
