"""The one partition set: `repositories`. Its keys follow the settings and whatever people ask for by name."""

from collections.abc import Iterable, Sequence

import dagster as dg

repositories = dg.DynamicPartitionsDefinition(name="repositories")

REPOSITORIES = "repositories"


def ensure_repositories(instance: dg.DagsterInstance, names: Iterable[str]) -> None:
    """Make sure that each of `names` is a key of the partition set. Keys are never removed: their history stays."""
    missing = _missing(instance, names)
    if missing:
        instance.add_dynamic_partitions(REPOSITORIES, missing)


def partition_requests(instance: dg.DagsterInstance, names: Iterable[str]) -> list[dg.AddDynamicPartitionsRequest]:
    """Return what a sensor requests so that each of `names` is a key before its runs start."""
    missing = _missing(instance, names)
    return [repositories.build_add_request(missing)] if missing else []


def _missing(instance: dg.DagsterInstance, names: Iterable[str]) -> list[str]:
    known = set(instance.get_dynamic_partitions(REPOSITORIES))
    return [name for name in dict.fromkeys(names) if name not in known]


def range_tags(instance: dg.DagsterInstance, names: Sequence[str]) -> dict[str, str]:
    """Return tags that make a run target the smallest range of keys which holds all `names`.

    One run reads many repositories; which ones exactly is in its configuration, since a range cannot have gaps.
    Names that are no keys yet are expected to be added at the end, in this order, before the run starts.
    """
    keys = [*instance.get_dynamic_partitions(REPOSITORIES), *_missing(instance, names)]
    places = sorted(keys.index(name) for name in names)
    return {
        "dagster/asset_partition_range_start": keys[places[0]],
        "dagster/asset_partition_range_end": keys[places[-1]],
    }
