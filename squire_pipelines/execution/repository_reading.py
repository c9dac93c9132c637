"""Reads one repository by the settings and the decisions of people, the same way for a cycle and for a dry run.

How GitHub is asked is `github.collecting`; what is kept of a reading is the caller's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.authority import KnownPermission
from squire_pipelines.domain.signals import Collection, FurtherSource, Source, is_from
from squire_pipelines.execution.planning import PlanBasis, plan_basis
from squire_pipelines.execution.second_runs import foresee_reruns
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository, utc_now
from squire_pipelines.github.evidence.checks import add_evidence
from squire_pipelines.github.judging import PermissionStore, Trust
from squire_pipelines.ledger import collections, decisions
from squire_pipelines.ledger.collaborators import KeptPermissions
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.settings.model import Settings
from squire_pipelines.source_names import further_sources
from squire_pipelines.sources.reading import read_sources, sources_to_read


def sources_of(settings: Settings, repository: str, sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return those of GitHub's sources that the settings have read in this repository."""
    filters = settings.filters_for(repository)
    return tuple(source for source in sources if filters.reads(source))


async def read_from_github(
    client: GitHubClient,
    settings: Settings,
    ledger: Ledger,
    repository: str,
    sources: Iterable[Source],
    *,
    store: PermissionStore | None = None,
) -> tuple[Collection, ...]:
    """Read those of `sources` that the settings have read, judged and with the evidence of failed checks.

    `store` keeps what GitHub says of people; by default that is the ledger.
    """
    trust = settings.trust_for(repository)
    readings = await collect_repository(
        client,
        repository,
        sources=sources_of(settings, repository, sources),
        max_items=settings.collection.max_items,
        source_timeout_s=settings.collection.source_timeout_s,
        ignored_checks=settings.ci_for(repository).ignore,
        trust=Trust(
            rules=settings.trust_rules_for(repository),
            store=store or kept_permissions(settings, ledger, repository),
            max_questions=trust.max_questions,
            timeout_s=settings.collection.source_timeout_s,
        ),
    )
    with ledger.read() as tx:
        known = collections.known_evidence(tx, repository)
    return await add_evidence(
        client,
        readings,
        known,
        redact=process_redactor().redact,
        timeout_s=settings.ci_for(repository).evidence_timeout_s,
    )


def kept_permissions(settings: Settings, ledger: Ledger, repository: str) -> KeptPermissions:
    """Return what the ledger has of GitHub's answers on people, for as long as the settings trust them."""
    trust = settings.trust_for(repository)
    return KeptPermissions(ledger, ttl_s=trust.permission_ttl_s, max_rows=trust.max_kept_permissions)


@dataclass(frozen=True, slots=True)
class _ReadOnly:
    """Gives what is kept of people and keeps no more."""

    kept: KeptPermissions

    def known(self, repository: str, logins: Sequence[str]) -> Mapping[str, KnownPermission]:
        """See `PermissionStore`."""
        return self.kept.known(repository, logins)

    def keep(self, repository: str, answers: Mapping[str, KnownPermission]) -> None:
        """See `PermissionStore`: a dry run keeps nothing."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a plan would be made from if a cycle were run now."""

    readings: tuple[Collection, ...]
    basis: PlanBasis


async def foresee(client: GitHubClient, settings: Settings, ledger: Ledger, repository: str) -> Foresight:
    """Read all sources as a cycle would and write nothing. Of a source that does not answer the last good data stay."""
    store = _ReadOnly(kept_permissions(settings, ledger, repository))
    readings = [
        foresee_reruns(ledger, reading, settings.ci_for(repository))
        for reading in await read_from_github(client, settings, ledger, repository, Source, store=store)
    ]
    with ledger.read() as tx:
        before = collections.active_signals(tx, repository)
    further = {
        source: any(is_from(signal, source) for signal in before) for source in map(FurtherSource, further_sources())
    }
    asked = sources_to_read(settings, repository, further)
    readings += await read_sources(settings, repository, asked, clock=utc_now)
    silent = {reading.source for reading in readings if not reading.status.source_answered}
    replaced = [source for source in (*Source, *further) if source not in silent]
    with ledger.read() as tx:
        judged = decisions.with_decisions(tx, readings, settings.trust_rules_for)
        left = (signal for signal in before if not any(is_from(signal, source) for source in replaced))
        signals = (*left, *(signal for reading in judged for signal in reading.signals))
        basis = plan_basis(tx, settings, repository, signals)
    return Foresight(tuple(judged), basis)
