"""All probes but the daemon's, which needs Dagster: see `runtime.health`."""

from dataclasses import replace

from squire_pipelines.domain.condition_rules import ClockFacts
from squire_pipelines.health.engine_probe import engine_probe
from squire_pipelines.health.github_probe import github_probe
from squire_pipelines.health.local_probes import local_probes
from squire_pipelines.health.looks import JumpWatch
from squire_pipelines.health.machine_probes import ClockComparison, look_at_clock
from squire_pipelines.health.model_probe import model_probe
from squire_pipelines.health.probe import Probe
from squire_pipelines.health.service_probes import code_server_probe, interface_probe, receiver_probe
from squire_pipelines.settings.model import Settings

_CLOCK_EVERY_S = 15.0
_CLOCK_TIMEOUT_S = 5.0


class LibraryProbes:
    """Makes the probes, and keeps what one look hands to the next."""

    def __init__(self) -> None:
        self._jumps = JumpWatch()
        self._with_github = ClockComparison()
        self._with_ledger = ClockComparison()

    def of(self, settings: Settings) -> tuple[Probe, ...]:
        """Return the probes by the settings as they are now."""
        return (
            *local_probes(settings, self._with_ledger.note),
            code_server_probe(settings),
            receiver_probe(settings),
            interface_probe(settings),
            engine_probe(settings),
            github_probe(settings, self._with_github.note),
            model_probe(settings),
            self._clock_probe(settings),
        )

    def _clock_probe(self, settings: Settings) -> Probe:
        is_app = settings.github.app_id is not None
        return Probe(
            "clock",
            ("clock",),
            _CLOCK_EVERY_S,
            _CLOCK_TIMEOUT_S,
            lambda: look_at_clock(self._clock_facts(is_app=is_app)),
        )

    def _clock_facts(self, *, is_app: bool) -> ClockFacts:
        facts = ClockFacts(jump_s=self._jumps.jump_s(), signs_in_by_time=is_app)
        if (offset_s := self._with_github.offset_s) is not None:
            return replace(facts, offset_s=offset_s)
        return replace(facts, offset_s=self._with_ledger.offset_s, whose="the ledger's server's")
