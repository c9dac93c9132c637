"""The sources of signals as assets: their keys, in which order they are shown, and what each is."""

import dagster as dg

from squire_pipelines.domain.signals import HOOKS_SOURCE, MANUAL_SOURCE, AnySource, FurtherSource, Source
from squire_pipelines.source_names import further_sources, package_of

OWNERS = ["team:squire"]
DELIVERIES = dg.AssetKey(["github", "deliveries"])
HOOK_DELIVERIES = dg.AssetKey(["hooks", "deliveries"])
HOOKS = FurtherSource(HOOKS_SOURCE)
SOURCES: tuple[AnySource, ...] = (*Source, HOOKS, *map(FurtherSource, further_sources()))
"""All that are there when the definitions are loaded: a package that is installed later needs a restart."""

_DESCRIPTIONS: dict[str, str] = {
    Source.OPEN_PRS: "Open pull requests of each repository, with the state of their checks and reviews.",
    Source.FAILED_CI: "Failed checks on the head of the default branch and of open pull requests.",
    Source.OPEN_ISSUES: "Open issues of each repository, with their labels.",
    Source.REPOSITORY_TASKS: "Tasks in files of `.squire/tasks` on each repository's default branch.",
    Source.REVIEW_FINDINGS: "Unresolved review threads of open pull requests, by people and bots; outdated ones too.",
    HOOKS_SOURCE: "What other senders than GitHub have delivered and not closed, such as issues of Sentry.",
    MANUAL_SOURCE: "Tasks in files beside the settings.",
}


def signal_key(source: AnySource) -> dg.AssetKey:
    """Return the asset of one source."""
    return dg.AssetKey(["signals", source.value])


def describe_source(source: AnySource) -> str:
    """Return a sentence about a source."""
    return _DESCRIPTIONS.get(source.value) or package_of(source.value)
