"""Where secrets are looked for and which have names, as the settings say: read without pydantic where that is plain.

`squire secrets list` is to be quick, and importing the settings' models takes longer than all the rest of it.
"""

import os
import tomllib
from typing import Any

from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import named_config
from squire_pipelines.secret_names import SecretName, check_secret_name
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.terminal.output import write_labelled

OWN_NAMES = tuple(map(str, SecretName))
_VARIABLES = ("SQUIRE_SECRETS__", "SQUIRE_PROVIDERS", "SQUIRE_ALERTS", "SQUIRE_HOOKS", "SQUIRE_WEBHOOKS__SECRETS")
_SWITCHES = ("allow_plain_files", "gh")


def secret_places(context: CliContext) -> tuple[SecretSources, tuple[str, ...]]:
    """Return the places and the names of the settings' secrets; with settings that cannot be used, defaults and none.

    No secret waits for settings that can be used.
    """
    plain = _read_plainly(context)
    if plain is not None:
        return plain
    try:
        return context.settings.secret_sources, context.settings.named_secrets
    except ConfigError as error:
        write_labelled("warning", f"the providers' keys are not known: {error.message}", color="yellow")
        return SecretSources(context.home), ()


def all_names(provider_secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all secrets that the settings have a use for."""
    return tuple(dict.fromkeys((*OWN_NAMES, *provider_secrets)))


def _read_plainly(context: CliContext) -> tuple[SecretSources, tuple[str, ...]] | None:
    """Return the same from the file alone, None where the settings have to be read in full."""
    if any(name.upper().startswith(_VARIABLES) or name.upper() == "SQUIRE_SECRETS" for name in os.environ):
        return None
    try:
        values = tomllib.loads(context.config_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None if context.config or named_config() else (SecretSources(context.home), ())
    except (OSError, ValueError):
        return None
    if values.get("alerts", {}) or values.get("hooks", {}) or "secrets" in values.get("webhooks", {}):
        return None  # targets of alerts, senders, and repositories have secrets of their own
    switches, tables = values.get("secrets", {}), values.get("providers", {})
    try:
        keys = tuple(name for table in tables.items() for name in _key_of(*table))
    except (AttributeError, TypeError, ValueError):
        return None
    are_plain = isinstance(switches, dict) and all(
        name in _SWITCHES and isinstance(value, bool) for name, value in switches.items()
    )
    return (SecretSources(context.home, **switches), keys) if are_plain else None


def _key_of(name: str, table: dict[str, Any]) -> tuple[str, ...]:
    return () if "platform" in table else (check_secret_name(table.get("secret", f"{name}-key")),)
