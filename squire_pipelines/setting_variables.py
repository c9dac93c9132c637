"""The environment variables that begin with SQUIRE_: which set a setting, and which are neither that nor ours."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import BaseModel

from squire_pipelines.errors import SettingError
from squire_pipelines.secret_names import SecretName, file_variable_of, is_secret_variable, variables_of
from squire_pipelines.setting_keys import leaf_paths

PREFIX = "SQUIRE_"
_ENDS_LIKE_A_SECRET_FILE = ("_KEY_FILE", "_TOKEN_FILE")
# What Squire, its scripts, its images and its tests read, and what they tell an agent or a task's source.
_OWN = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("HOME", "CONFIG", "STEP_CONTAINER", "DOCKER", "HAND_OUT_S", "TASK_FILE", "REPOSITORY", "PORT", "FILES"),
        *("ATTEMPT_ID", "EVIDENCE", "IN", "OUT", "ORDER", "ORDER_WAIT_S", "PROMPT", "PROMPT_FILE", "REPO", "SKILLS"),
        *("WORK", "STOP_GRACE_S", "GATEWAY_PORT", "GATEWAY_SOCKET", "GATEWAY_URL"),
        *("SECRETS_PASSPHRASE", "SECRETS_PASSPHRASE_FILE", "SECRETS_PASSPHRASE_FD", "SECRETS_KEYFILE"),
    )
)
_OWN_PREFIXES = tuple(
    f"{PREFIX}{name}_" for name in ("TEST", "BENCH", "SOAK", "SCAN", "BUILD", "ENGINE", "PULL", "EGRESS")
)


def variable_of(path: tuple[str, ...]) -> str:
    """Return the variable that sets the setting at `path`."""
    return PREFIX + "__".join(path).upper()


def refuse_unknown_sections(settings: type[BaseModel]) -> None:
    """Refuse a variable whose section does not exist, which pydantic-settings passes over. Raises ConfigError."""
    for name in sorted(os.environ):
        section, separator, _ = name.upper().removeprefix(PREFIX).partition("__")
        if name.upper().startswith(PREFIX) and separator and section.lower() not in settings.model_fields:
            similar = next(iter(get_close_matches(section.lower(), settings.model_fields, n=1)), None)
            known = f"rename it for the section {similar!r}" if similar else "unset it"
            raise SettingError(
                f"environment: {name} names the section {section.lower()!r}, which does not exist",
                hint=f"{known}; `squire config show --defaults` lists every key with its default",
            )


def unknown_variables(settings: type[BaseModel]) -> Iterator[str]:
    """Yield a sentence on each variable that looks like ours and does nothing."""
    known = [variable_of(path) for path in leaf_paths(settings)]
    sections = {variable_of((name,)) for name in settings.model_fields}
    secrets = {variable for name in SecretName for variable in (*variables_of(name), file_variable_of(name))}
    for name in sorted(os.environ):
        upper = name.upper()
        is_ours = upper in _OWN or upper in sections or upper in secrets or upper.startswith(_OWN_PREFIXES)
        is_secret = is_secret_variable(upper) or upper.endswith(_ENDS_LIKE_A_SECRET_FILE)
        if not upper.startswith(PREFIX) or "__" in upper or is_ours or is_secret:
            continue
        plain = re.sub("_+", "_", upper)
        same = [variable for variable in known if re.sub("_+", "_", variable) == plain]
        similar = same or get_close_matches(upper, [*known, *sections, *_OWN, *secrets], n=1)
        guess = f"; {similar[0]} is like it" if similar else ""
        yield f"the variable {name} sets nothing, since no setting has this name{guess}"
