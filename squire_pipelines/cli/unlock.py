"""Opening the encrypted file of secrets for one command: its passphrase is asked for where nothing else gives it."""

from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import ConfigError, PassphraseError
from squire_pipelines.secrets.passphrase import EXPOSED, IN_A_FILE, NAME, find_passphrase, is_exposed
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.secrets.store import MIN_PASSPHRASE_CHARS, SecretStore
from squire_pipelines.terminal.output import ask, write_labelled, write_line

_ATTEMPTS = 3


def unlock_store(context: CliContext, sources: SecretSources) -> None:
    """Open the encrypted file, if there is one with secrets in it; a person at the terminal is asked up to three times.

    Without a terminal it may stay locked: who then needs a secret of it is told so.

    Raises:
        PassphraseError: The passphrase is wrong.
        SecretStoreError: The file cannot be read.
    """
    store = sources.store
    if not store.names():
        return
    try:
        store.read()
    except PassphraseError:
        if find_passphrase() is not None:
            raise
        if context.can_ask:
            _ask_until_it_opens(store)
    _warn_if_exposed()


def open_or_create_store(context: CliContext, sources: SecretSources) -> None:
    """Open the encrypted file, or make it with a passphrase that is asked for twice where nothing gives one.

    Raises:
        PassphraseError: The passphrase is wrong, or there is none and no terminal to ask at.
        ConfigError: The new passphrase is too short or was not repeated, or the file cannot be read or written.
    """
    store = sources.store
    if not store.exists:
        store.create(find_passphrase() or ask_new_passphrase(context))
        _warn_if_exposed()
    elif store.names():
        unlock_store(context, sources)
    elif find_passphrase() is None and context.can_ask:
        _ask_until_it_opens(store)


def ask_new_passphrase(context: CliContext) -> Secret:
    """Ask twice for a new passphrase. Raises PassphraseError without a terminal, ConfigError when the two differ."""
    if not context.can_ask:
        raise PassphraseError(
            "the encrypted file of secrets needs a passphrase, and there is no terminal to ask for it",
            hint=f"{IN_A_FILE}, and run the command again",
        )
    write_line(
        f"Secrets are kept in an encrypted file. Its passphrase (at least {MIN_PASSPHRASE_CHARS} characters) is kept "
        "nowhere: whoever loses it sets the secrets again.",
        err=True,
    )
    passphrase = ask("new passphrase", is_secret=True)
    if ask("the same again", is_secret=True) != passphrase:
        raise ConfigError("the two passphrases differ; nothing was changed", hint="run the command again")
    return Secret(passphrase, name=NAME, origin="terminal")


def _ask_until_it_opens(store: SecretStore) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            store.unlock(Secret(ask("passphrase of the secret store", is_secret=True), name=NAME, origin="terminal"))
        except PassphraseError as error:
            if attempt == _ATTEMPTS:
                raise
            write_labelled("error", error.message, color="red")
        else:
            return


def _warn_if_exposed() -> None:
    passphrase = find_passphrase()
    if passphrase is not None and is_exposed(passphrase):
        write_labelled("warning", f"{EXPOSED}: {IN_A_FILE}", color="yellow")
