"""Where secrets come from and how text is kept free of them."""

from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import (
    all_secrets,
    delete_secret,
    find_secret,
    require_secret,
    store_secret,
)
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources

__all__ = [
    "Redactor",
    "Secret",
    "SecretName",
    "SecretSources",
    "all_secrets",
    "delete_secret",
    "find_secret",
    "require_secret",
    "store_secret",
]
