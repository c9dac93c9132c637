"""The probe of the settings: whether each running process of this home takes what the file says."""

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.home import Home
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.settings.model import Settings

_EVERY_S = 15.0
_TIMEOUT_S = 6.0


def settings_probe(settings: Settings) -> Probe:
    """Return the probe of the settings: whether each process of this home takes what the file says."""
    return Probe("settings", ("settings",), _EVERY_S, _TIMEOUT_S, lambda: look_at_settings(settings.home))


def look_at_settings(home: Home) -> States:
    """Return what the living processes say of the settings' file."""
    refusals = [status for status in read_statuses(home) if status.refused is not None]
    if not refusals:
        return {"settings": ConditionState.ok("each process works with the file as it is")}
    first = refusals[0]
    reason = f"{first.process} refuses the settings' file, and version {first.version} holds: {first.reason}"
    hint = "`squire config edit` changes it, `squire config validate` checks it"
    return {"settings": ConditionState.degraded(reason, hint)}
