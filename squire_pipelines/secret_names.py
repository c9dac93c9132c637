"""The names of secrets: Squire's own, and those of model providers, which the settings choose. See `lookup` too."""

import re
from enum import StrEnum

_PREFIX = "SQUIRE_"
# No setting's variable ends so, and no file variable: a secret's variable is never another thing's.
_PROVIDER_SECRET = re.compile(r"[a-z][a-z0-9-]{0,57}-(?:key|token)")
_SECRET_ENDS = ("_KEY", "_TOKEN")
_TENANT_SECRET = re.compile(r"([a-z][a-z0-9]{0,31})\.([a-z0-9-]{1,64})")
_TENANT_PREFIX = f"{_PREFIX}TENANT_"


class SecretName(StrEnum):
    """The secrets that Squire knows whatever the settings say."""

    GITHUB_TOKEN = "github-token"  # noqa: S105 - the name, not the value
    GITHUB_APP_KEY = "github-app-key"
    WEBHOOK_SECRET = "webhook-secret"  # noqa: S105 - likewise
    WEBHOOK_SECRET_OLD = "webhook-secret-old"  # noqa: S105 - likewise
    MODEL_KEY = "model-key"
    OTLP_HEADERS = "otlp-headers"


ALERT_WEBHOOK_KEY = "alert-webhook-key"
"""What messages to alerts.webhook_url are signed with; without it they are not signed."""

BOARD_TOKEN = "board-token"  # noqa: S105 - the name, not the value
"""What people give to use the board, where board.login is "token"."""

FILES_KEY_ID = "files-key-id"
"""The id of the key to the store of files (`files.url`); without it the cloud's own ways of finding one are used."""

FILES_KEY = "files-key"
"""The key itself."""

BROKER_KEY = "broker-key"
"""The password of the broker that carries runs to workers; see workers.broker_url."""

AI_GATEWAY = "ai-gateway"
"""The provider whose key the old product read from AI_GATEWAY_API_KEY, as its other clients do."""
_FURTHER_VARIABLES = {
    SecretName.GITHUB_TOKEN: ("GITHUB_TOKEN", "GH_TOKEN"),
    f"{AI_GATEWAY}-key": ("AI_GATEWAY_API_KEY",),
    SecretName.OTLP_HEADERS: ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
}

_OF_FILES = frozenset({FILES_KEY_ID, FILES_KEY})
_NO_PROVIDERS = frozenset((set(SecretName) - {SecretName.MODEL_KEY}) | _OF_FILES)


def check_provider_secret(name: str) -> str:
    """Return the name of a model provider's key as it is.

    Raises:
        ValueError: It is another secret's, which would be sent to the provider, or cannot be a name.
    """
    if name in _NO_PROVIDERS:
        raise ValueError(f"{name} is no model provider's key, and would be sent to the provider")
    if not _PROVIDER_SECRET.fullmatch(name) or "--" in name:
        # The text is not repeated: whoever takes the name for the key itself has written a key here.
        raise ValueError(
            f"this is the name of a secret, not the secret itself, and it is none of {', '.join(SecretName)}; the name "
            "of a provider's key has small letters, digits and single hyphens and ends with -key or -token, like "
            "claude-key, which `squire secrets set claude-key` keeps, or the variable SQUIRE_CLAUDE_KEY"
        )
    return name


def check_webhook_key(name: str) -> str:
    """Return the name of the secret of one repository's webhook, or of a sender beside GitHub, as it is.

    Raises:
        ValueError: It is a secret of another use, or cannot be a name.
    """
    if name in {*SecretName, ALERT_WEBHOOK_KEY, BOARD_TOKEN, BROKER_KEY, *_OF_FILES}:
        raise ValueError(f"{name} has another use: name a secret of its own, like acme-hook-key")
    if not _PROVIDER_SECRET.fullmatch(name) or "--" in name:
        # The text is not repeated: whoever takes the name for the secret itself has written that here.
        raise ValueError(
            "this is the name of a secret, not the secret itself: small letters, digits and single hyphens, with -key "
            "or -token at its end, like acme-hook-key, which `squire secrets set acme-hook-key` keeps"
        )
    return name


def check_secret_name(name: str) -> str:
    """Return a secret's name as it is: of the house, or a tenant's `TENANT.NAME`. Raises ValueError for no name."""
    if (of_tenant := _TENANT_SECRET.fullmatch(name)) is not None:
        check_secret_name(of_tenant[2])
        return str(name)
    return str(name) if name in {*SecretName, *_OF_FILES} else check_provider_secret(name)


def tenant_secret(tenant: str, name: str) -> str:
    """Return under which name a tenant's own secret is looked for: `TENANT.github-token` for `github-token`."""
    return f"{tenant}.{name}"


def hook_secret(name: str) -> str:
    """Return the name of the secret that one of [hooks] has where the settings name none."""
    return f"hook-{name.replace('_', '-')}-key"


def alert_target_secret(name: str) -> str:
    """Return the name of the secret that has the URL of one of alerts.apprise."""
    return f"alert-{name}-token"


def variables_of(name: str) -> tuple[str, ...]:
    """Return the environment variables that may hold a secret, the first wins.

    A tenant's name has no hyphen, so that no two secrets have one variable.
    """
    tenant, separator, rest = name.partition(".")
    if separator:
        return (f"{_TENANT_PREFIX}{tenant}_{rest}".upper().replace("-", "_"),)
    own = _PREFIX + name.upper().replace("-", "_")
    return (own, *_FURTHER_VARIABLES.get(name, ()))


def file_variable_of(name: str) -> str:
    """Return the environment variable that may name a file with a secret."""
    return f"{variables_of(name)[0]}_FILE"


_OWN_VARIABLES = frozenset(
    (
        *(variable for name in (*SecretName, f"{AI_GATEWAY}-key", FILES_KEY_ID) for variable in variables_of(name)),
        "SQUIRE_SECRETS_PASSPHRASE",
    )
)


def is_secret_variable(name: str) -> bool:
    """Return whether an environment variable holds a secret, also one of a provider that no settings name."""
    if name in _OWN_VARIABLES or name.startswith(_TENANT_PREFIX):
        return not name.endswith("_FILE")
    return name.startswith(_PREFIX) and name.endswith(_SECRET_ENDS)
