"""The settings that hold in each repository: the operator's, with what its own file said when it was read last.

Whoever works on a repository asks here; the file is read with its signals, by `repository_file_reading`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from squire_pipelines.domain.onboarding import why_not_started
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.ledger import onboardings, repository_files
from squire_pipelines.ledger.repository_files import StoredFile
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE
from squire_pipelines.repository_files.tightening import tightened
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """What holds in each repository.

    Args:
        operator: The operator's settings.
        files: What repositories' own files say, by repository.
        stopped: The repositories in which nothing is planned and started, and why.
    """

    operator: Settings
    files: Mapping[str, RepositoryFileSettings] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)

    def of(self, repository: str) -> Settings:
        """Return the settings that hold in one repository: those of its tenant, with what its own file asks for."""
        name = self.operator.spelling_of(repository) or repository
        file, of_tenant = self.files.get(name), self.operator.for_repository(name)
        return of_tenant if file is None else tightened(of_tenant, name, file)

    @property
    def of_all(self) -> Settings:
        """The operator's settings, with each repository's own table as it holds there.

        It is for those who ask for one repository's part by name; general sections are the operator's.
        """
        tables = dict(self.operator.repository)
        for name in self.files:
            tables[name] = self.of(name).repository[name]
        return self.operator.model_copy(update={"repository": tables}) if self.files else self.operator

    @property
    def slots(self) -> dict[str, int]:
        """How many attempts at once each repository asks for, where it asks for fewer."""
        return {name: self.of(name).dispatch.max_per_repository for name in self.files}

    def queue_rules_of(self, repository: str) -> QueueRules:
        """Return what the ready tasks of a repository wait for besides their turn."""
        return self.of(repository).dispatch.queue_rules


def repository_settings(ledger: Ledger, settings: Settings) -> RepositorySettings:
    """Return what holds in each repository of the settings, by what was read of its file last."""
    names = settings.repositories
    with ledger.read() as tx:
        stored = repository_files.among(tx, names)
    followed = {name: file for name, file in stored.items() if settings.trust_for(name).repository_files}
    files = {name: read for name, file in followed.items() if (read := said_by(file)) is not None}
    stopped = {name: why for name, file in followed.items() if (why := _why_stopped(file)) is not None}
    return RepositorySettings(settings, files, stopped | missing_consents(ledger, names) | missing_budgets(settings))


def missing_budgets(settings: Settings) -> dict[str, str]:
    """Return why nothing is planned and started for tenants without a budget, where each needs one, by repository."""
    if not settings.dispatch.tenants_need_budgets:
        return {}
    without = {name for name, table in settings.tenants.items() if not table.budgets.is_set}
    return {
        name: f"its tenant {tenant} has no budget, which dispatch.tenants_need_budgets asks for: set "
        f"tenants.{tenant}.budgets.month or .day"
        for name in settings.repositories
        if (tenant := settings.tenant_of(name)) in without
    }


def missing_consents(ledger: Ledger, names: Collection[str]) -> dict[str, str]:
    """Return why nothing is started in those repositories that were asked and have not said yes, by their names."""
    with ledger.read() as tx:
        asked = onboardings.among(tx, names)
    reasons = {name: why_not_started(onboarding.state, onboarding.pr_url) for name, onboarding in asked.items()}
    return {name: why for name, why in reasons.items() if why is not None}


def settings_in(ledger: Ledger, settings: Settings, repository: str) -> Settings:
    """Return the settings that hold in one repository, which need not be among those of the settings any more."""
    name = settings.spelling_of(repository) or repository
    settings = settings.for_repository(name)
    if not settings.trust_for(name).repository_files:
        return settings
    with ledger.read() as tx:
        stored = repository_files.get(tx, name)
    file = said_by(stored) if stored is not None else None
    return settings if file is None else tightened(settings, name, file)


def said_by(file: StoredFile) -> RepositoryFileSettings | None:
    """Return what a file says; None where it says nothing. Of a wrong file, what it said last."""
    if not file.settings:
        return None
    return read_json(RepositoryFileSettings, file.settings)


def _why_stopped(file: StoredFile) -> str | None:
    if file.problem is None:
        return None
    return f"its {REPOSITORY_FILE} cannot be used: {file.problem}; {file.hint}" if file.hint else file.problem
