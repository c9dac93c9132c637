"""A mark of what a repository's agents are told of their models: the settings and the keys, as a number.

An attempt that ended because only the user can change something records it, and its task waits while the mark is the
same. It says nothing else: of a key it has a salted digest of eight bytes over all keys and settings together.
"""

import hashlib
import json

from squire_pipelines.execution.tenant_keys import FindKey, find_tenant_key
from squire_pipelines.settings.model import Settings

_SECTIONS = {"agent", "agents", "providers"}
_ROUNDS = 20_000
_BYTES = 8


def _of_tenant(settings: Settings, repository: str) -> dict[str, object]:
    table = settings.tenant_table(repository)
    return {} if table is None else {"tenant": table.model_dump(mode="json", include={"agent", "agents"})}


def settings_mark(settings: Settings, repository: str, find_key: FindKey | None = None) -> str:
    """Return the mark, which changes with any of these: it cannot say which change is the one that helps.

    Args:
        settings: The settings.
        repository: Whose agents.
        find_key: Finds a key by its whole name; by default wherever secrets lie.
    """
    keys = {}
    settings = settings.for_repository(repository)
    for name in sorted(set(settings.provider_secrets)):
        key = find_tenant_key(settings, repository, name, find_key)
        keys[name] = key.reveal() if key is not None else None
    gateway = settings.gateway_settings_for(repository)
    overrides = settings.repository.get(settings.spelling_of(repository) or repository)
    seen = {
        **settings.model_dump(mode="json", include=_SECTIONS),
        **_of_tenant(settings, repository),
        "own": overrides.model_dump(mode="json", include={"agent", "agents"}) if overrides is not None else None,
        "address": settings.planner.base_url,
        "gateway": gateway.model_dump(mode="json"),
        "keys": keys,
    }
    text = json.dumps(seen, sort_keys=True, default=str).encode()
    return hashlib.pbkdf2_hmac("sha256", text, repository.encode(), _ROUNDS, _BYTES).hex()
