"""The environment variables that begin with SQUIRE_: which set a setting, by its name or an old one; which do not."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, InitSettingsSource

from squire_pipelines.errors import SettingError
from squire_pipelines.secret_names import SecretName, file_variable_of, is_secret_variable, variables_of
from squire_pipelines.settings.keys import leaf_paths

PREFIX = "SQUIRE_"
_ENDS_LIKE_A_SECRET_FILE = ("_KEY_FILE", "_TOKEN_FILE")
# What Squire, its scripts, its images and its tests read, and what they tell an agent or a task's source.
_OWN = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("HOME", "CONFIG", "MACHINE", "DAGSTER_URL", "STEP_CONTAINER", "DOCKER", "TASK_FILE", "REPOSITORY", "PORT"),
        *("ATTEMPT_ID", "EVIDENCE", "IN", "OUT", "ORDER", "ORDER_WAIT_S", "PROMPT", "PROMPT_FILE", "REPO", "SKILLS"),
        *("FILES", "DEBUG_SINCE", "PROCESS_LOG", "WORK", "STOP_GRACE_S", "GATEWAY_PORT", "GATEWAY_SOCKET"),
        *("HAND_OUT_S", "GATEWAY_URL", "SECRETS_PASSPHRASE", "SECRETS_PASSPHRASE_FILE", "SECRETS_PASSPHRASE_FD"),
        *("SECRETS_KEYFILE", "WORKER_NAME", "DOOR", "DOOR_UNIT", "DOOR_TOKEN_FILE", "DOOR_PATIENCE_S"),
    )
)
_OWN_PREFIXES = tuple(
    f"{PREFIX}{name}_" for name in ("TEST", "BENCH", "SOAK", "SCAN", "BUILD", "ENGINE", "PULL", "EGRESS")
)

RENAMED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "SQUIRE_MAX_CONCURRENT": ("dispatch", "max_concurrent"),
        "SQUIRE_MODEL": ("agent", "model"),
        "SQUIRE_CONTAINER_RUNTIME": ("agent", "runtime"),
        "SQUIRE_SKILLS_DIR": ("agent", "skills"),
        "SQUIRE_AUTO_CLEANUP": ("agent", "keep_failed_containers"),
    }
)
"""The old product's variables whose setting exists here: they still work."""

WITHOUT_SETTING: Mapping[str, str] = MappingProxyType(
    {
        "SQUIRE_TASKS_DIR": "tasks are kept in the ledger: `squire tasks import FOLDER` takes the old ones over",
        "SQUIRE_WORKER_IMAGE": "an old worker image clones and pushes by itself, with the token in it, and a container "
        "gets no token any more: set agent.image to an image made from Squire's own",
        "SQUIRE_BACKEND": "containers run on the engine that the docker command finds",
        "SQUIRE_NAMESPACE": "attempts are no jobs of Kubernetes",
        "SQUIRE_SKILLS_PVC": "attempts are no jobs of Kubernetes: name folders in agent.skills",
    }
)
"""The old product's variables that nothing here stands for, each with the reason."""

_MAX_SKILLS = 100
_FIELD = re.compile(r'for field "([a-z_]{1,60})"')


def renamed_settings(settings: type[BaseSettings]) -> InitSettingsSource:
    """Return what the old product's variables in the environment set here, as a source of these settings."""
    tables: dict[str, Any] = {}
    for name, (section, key) in RENAMED.items():
        value = converted(name, os.environ.get(name, ""))
        if value is not None:
            tables.setdefault(section, {})[key] = value
    return InitSettingsSource(settings, tables)


def converted(name: str, text: str) -> Any:
    """Return the setting's value that an old variable's text stands for; None where it sets nothing.

    Args:
        name: Of `RENAMED`.
        text: Its value.
    """
    text = text.strip()
    if not text:
        return None
    if name == "SQUIRE_MODEL":
        return openai_model(text)
    if name == "SQUIRE_SKILLS_DIR":
        return skill_folders(Path(text)) or None
    # The old product kept containers for the word `false` alone.
    return text == "false" if name == "SQUIRE_AUTO_CLEANUP" else text


def openai_model(text: str) -> str | None:
    """Return the model of an OpenCode name such as `openai/gpt-5`, or of one without a provider; None for another's."""
    provider, separator, model = text.partition("/")
    if not separator:
        return text
    return model if provider == "openai" and model else None


def skill_folders(folder: Path) -> list[str]:
    """Return the folders with a SKILL.md: `folder` itself, or those in it."""
    try:
        inner = sorted(path for path in folder.expanduser().absolute().iterdir() if path.is_dir())
    except (OSError, RuntimeError, ValueError):  # no name has a NUL in it
        return []
    folders = (folder.expanduser().absolute(), *inner[:_MAX_SKILLS])
    return [str(path) for path in folders if (path / "SKILL.md").is_file()]


def old_variable_at(path: tuple[str | int, ...], environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the old product's variable that sets the setting at `path`; None for none."""
    for name, renamed in RENAMED.items():
        if path[:2] == renamed and converted(name, environment.get(name, "")) is not None:
            return name
    return None


def _about_old(name: str) -> str:
    """Return a sentence on a variable of the old product that is set."""
    if name in WITHOUT_SETTING:
        return f"the old product's variable {name} sets nothing: {WITHOUT_SETTING[name]}"
    new = variable_of(RENAMED[name])
    if new in {other.upper() for other in os.environ}:
        return f"the old product's variable {name} sets nothing, since its new name {new} is set too"
    if converted(name, os.environ[name]) is not None:
        return f"the variable {name} is now called {new}; the old name still works"
    if name == "SQUIRE_MODEL":
        return (
            f"the variable {name} sets nothing: models are called with a key of yours, so that a model of another "
            "provider than OpenAI needs agent.provider and agent.model; see docs/guide/coming-from-the-old-squire.md"
        )
    return f"the variable {name}, which is now called {new}, sets nothing: it is empty, or names no folder of skills"


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


def no_json_error(error: Exception) -> SettingError:
    """Return the refusal of a variable whose list or table is no JSON, with its name.

    Args:
        error: Of pydantic-settings, which names the setting's section alone.
    """
    section = _FIELD.search(str(error))
    start = variable_of((section[1],)) if section is not None else PREFIX
    set_here = (name for name in sorted(os.environ) if name.upper() == start or name.upper().startswith(f"{start}__"))
    names = [name for name in set_here if not _is_json(os.environ[name])]
    where, key = " or ".join(("environment", *names)), section[1] if section is not None else "a setting"
    if len(names) == 1:
        where, key = f"environment variable {names[0]}", names[0][len(PREFIX) :].lower().replace("__", ".")
    return SettingError(
        f"{where}: {key} is no JSON, as which lists and tables are written",
        hint='write it like ["owner/name"], or unset the variable',
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def unknown_variables(settings: type[BaseModel]) -> Iterator[str]:
    """Yield a sentence on each variable that looks like ours and does nothing."""
    known = [variable_of(path) for path in leaf_paths(settings)]
    sections = {variable_of((name,)) for name in settings.model_fields}
    secrets = {variable for name in SecretName for variable in (*variables_of(name), file_variable_of(name))}
    for name in sorted(os.environ):
        upper = name.upper()
        if name in RENAMED or name in WITHOUT_SETTING:
            yield _about_old(name)
            continue
        is_ours = upper in _OWN or upper in sections or upper in secrets or upper.startswith(_OWN_PREFIXES)
        is_secret = is_secret_variable(upper) or upper.endswith(_ENDS_LIKE_A_SECRET_FILE)
        if not upper.startswith(PREFIX) or "__" in upper or is_ours or is_secret:
            continue
        plain = re.sub("_+", "_", upper)
        same = [variable for variable in known if re.sub("_+", "_", variable) == plain]
        similar = same or get_close_matches(upper, [*known, *sections, *_OWN, *secrets], n=1)
        guess = f"; {similar[0]} is like it" if similar else ""
        yield f"the variable {name} sets nothing, since no setting has this name{guess}"
