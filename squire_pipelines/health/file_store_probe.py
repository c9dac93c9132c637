"""The probe of the store of files: whether it answers. There is none where no store is set."""

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.file_store.errors import FileStoreError
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.settings.model import Settings

_EVERY_S = 60.0
_TIMEOUT_S = 15.0
_ASKED = "probe"
"""A name that no file has."""


def file_store_probes(settings: Settings) -> tuple[Probe, ...]:
    """Return the probe, none where no store is set."""
    if not settings.files.url:
        return ()
    return (Probe("files", ("files",), _EVERY_S, _TIMEOUT_S, lambda: look_at_file_store(settings)),)


def look_at_file_store(settings: Settings) -> States:
    """Return whether the store answers; why not is its own words. Raises ConfigError where it cannot be opened."""
    store = store_of(settings)
    if store is None:
        return {}
    try:
        store.quick().find(_ASKED)
    except FileStoreError as error:
        return {"files": ConditionState.down(error.message, error.hint)}
    return {"files": ConditionState.ok(f"{store.place} answers")}
