"""GitHub as the settings name it: clients that are signed in, and tokens to fetch and push with."""

from squire_pipelines.github.access import Access, AppAccess, AppItself, access_from
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.kept_answers import KeptAnswers
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.github.write_turns import WriteTurns
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.write_turns import LedgerWriteTurns
from squire_pipelines.secrets import Secret
from squire_pipelines.settings.model import Settings


class GitHub:
    """The GitHub of one set of settings. Secrets are looked up when they are needed and not kept.

    Args:
        settings: Name the addresses and, for an App, its id.
        ledger: Keeps what GitHub said of its limits, which every process obeys.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def client(self) -> GitHubClient:
        """Return a client, to be used in `async with`. Raises ConfigError."""
        return self._client(access_to_all(self._settings))

    def app_client(self) -> GitHubClient | None:
        """Return a client that asks as the App itself; None where there is no App. Raises ConfigError."""
        access = access_from(self._settings)
        return self._client(AppItself(access)) if isinstance(access, AppAccess) else None

    def _client(self, access: Access) -> GitHubClient:
        answers = KeptAnswers(self._settings.home.answers, max_answers=self._settings.github.max_kept_answers)
        is_shared = not self._ledger.is_sqlite  # other machines write with the same credential
        turns = LedgerWriteTurns(self._ledger) if is_shared else WriteTurns(self._settings.home.run / "github-writes")
        return GitHubClient(
            self._settings.github, access, limits=LedgerLimits(self._ledger), write_turns=turns, answers=answers
        )

    async def git_token(self, repository: str) -> Secret | None:
        """Return the token to fetch and push one repository with, None when there is none.

        Raises:
            ConfigError: The App's key cannot be used.
            GitHubError: GitHub gives no token.
        """
        token = await access_to_all(self._settings).token(repository, write=True)
        return Secret(token, name="github-token") if token else None
