"""What each entry of the old product's settings and variables is here: a secret, settings, or nothing, and then why.

The names are those that its sources read: `packages/cli/src/config.ts`, `packages/steward/src/config.ts`, its workers.
Nothing here reads a file but the goals and folders of skills that the settings name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squire_pipelines.domain.signals import MANUAL_SOURCE, Source
from squire_pipelines.errors import ConfigError
from squire_pipelines.migration.old_files import read_old_file, text_of
from squire_pipelines.secret_names import AI_GATEWAY, SecretName
from squire_pipelines.settings.variables import RENAMED, WITHOUT_SETTING, openai_model, skill_folders

Setting = tuple[tuple[str, ...], Any]
AI_GATEWAY_URL = "https://ai-gateway.vercel.sh/v1"
AI_GATEWAY_KEY = f"{AI_GATEWAY}-key"
SECRET_VARIABLES: Mapping[str, str] = {
    "GITHUB_TOKEN": SecretName.GITHUB_TOKEN,
    "GH_TOKEN": SecretName.GITHUB_TOKEN,
    "SQUIRE_WEBHOOK_SECRET": SecretName.WEBHOOK_SECRET,
    "AI_GATEWAY_API_KEY": AI_GATEWAY_KEY,
}
"""The old product's variables that hold a secret, with the secret's name here."""

_VARIABLES = {
    "githubToken": "GITHUB_TOKEN",
    "model": "SQUIRE_MODEL",
    "maxConcurrent": "SQUIRE_MAX_CONCURRENT",
    "autoCleanup": "SQUIRE_AUTO_CLEANUP",
    "containerRuntime": "SQUIRE_CONTAINER_RUNTIME",
    "skillsDir": "SQUIRE_SKILLS_DIR",
    "workerImage": "SQUIRE_WORKER_IMAGE",
    "tasksDir": "SQUIRE_TASKS_DIR",
}
"""What `squire.config.json` calls what these variables say too."""

_SOURCES = {
    "open_prs": Source.OPEN_PRS,
    "failed_ci": Source.FAILED_CI,
    "issues": Source.OPEN_ISSUES,
    "greptile_reviews": Source.REVIEW_FINDINGS,
}
_INTERVAL = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DEFAULT_IMAGE = "squire-worker:latest"
_MAX_UNKNOWN = 50
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class OldEntry:
    """One entry of the old product.

    Args:
        name: As it is called there.
        source: The file, or `environment`.
        settings: What it is here, the first of which decides whether it is set already; none for other entries.
        secret: The name of the secret that it is.
        value: Of the secret.
        reason: Why nothing here stands for it, or what is to be known.
        hides: Whether its value is a secret that has no place here.
    """

    name: str
    source: str
    settings: tuple[Setting, ...] = ()
    secret: str = ""
    value: str = ""
    reason: str = ""
    hides: bool = False


def entries_of_config(values: Mapping[str, Any], source: str) -> Iterator[OldEntry]:
    """Yield the entries of `squire.config.json`; like the old product, without those that are empty."""
    for name, value in values.items():
        is_blank = isinstance(value, str) and not value.strip()
        is_empty = value is None or is_blank or (value == 0 and name != "autoCleanup")
        if name == "$schema" or is_empty:
            continue
        if name in _VARIABLES:
            yield _entry(_VARIABLES[name], value, name, source)
        else:
            yield OldEntry(_short(name), source, reason="the old product has no such entry")


def entries_of_variables(variables: Mapping[str, str], source: str) -> Iterator[OldEntry]:
    """Yield the entries among variables that are the old product's; all others are somebody else's."""
    for name in (*SECRET_VARIABLES, *RENAMED, *WITHOUT_SETTING):
        value = variables.get(name, "").strip()
        if value:
            is_switch = name == "SQUIRE_AUTO_CLEANUP"
            yield _entry(name, value != "false" if is_switch else value, name, source)


def _entry(variable: str, value: Any, name: str, source: str) -> OldEntry:
    """Return an entry that has the meaning of a variable, by the name that it has in its source."""
    if variable in SECRET_VARIABLES:
        return OldEntry(name, source, secret=SECRET_VARIABLES[variable], value=_text(value, name, source))
    if variable in _CONVERTED:
        return _CONVERTED[variable](value, name, source)
    if variable in RENAMED:
        return OldEntry(name, source, ((RENAMED[variable], _number(value)),))
    return OldEntry(name, source, reason=WITHOUT_SETTING[variable])


def entries_of_steward(values: Mapping[str, Any], source: str, folder: Path) -> Iterator[OldEntry]:
    """Yield the entries of `steward.yaml`; paths in it are from `folder`. Raises ConfigError for another form."""
    tables: dict[str, Callable[[Any], Iterator[OldEntry]]] = {
        "goals": lambda goals: _goals(goals, source, folder),
        "signals": lambda signals: _signals(_table(signals, "signals", source), source, values),
        "execution": lambda execution: _execution(_table(execution, "execution", source), source),
        "llm": lambda llm: _planner(_table(llm, "llm", source), source),
        "schedule": lambda schedule: _schedule(_table(schedule, "schedule", source), source),
        "auto_merge": lambda _: iter((OldEntry("auto_merge", source, reason=_NO_MERGE),)),
        "notify": lambda notify: _notify(_table(notify, "notify", source), source),
    }
    for name, value in values.items():
        if name in tables:
            yield from tables[name](value) if value is not None else ()
        else:
            yield OldEntry(_short(name), source, reason="the old product has no such entry")


_NO_MERGE = "Squire merges nothing: people do, or a rule of GitHub's (auto-merge)"


def _model(value: Any, name: str, source: str) -> OldEntry:
    text = _text(value, name, source)
    if (model := openai_model(text)) is not None:
        reason = "its key is the secret model-key: `squire secrets set model-key`"
        return OldEntry(name, source, ((("agent", "model"), model),), reason=reason)
    reason = (
        "the old worker called models without a key, at OpenCode's own service; Squire calls them with a key of yours: "
        "`squire config set agent.model NAME`, and agent.provider for another provider than OpenAI"
    )
    return OldEntry(name, source, reason=reason)


def _cleanup(cleans: Any, name: str, source: str) -> OldEntry:
    setting = ("agent", "keep_failed_containers")
    value = not cleans if isinstance(cleans, bool) else cleans
    reason = "containers of attempts that succeeded are removed all the same" if value is True else ""
    return OldEntry(name, source, ((setting, value),), reason=reason)


def _skills(value: Any, name: str, source: str) -> OldEntry:
    folders = skill_folders(Path(_text(value, name, source)))
    if not folders:
        return OldEntry(name, source, reason="no folder with a SKILL.md is there")
    return OldEntry(name, source, ((("agent", "skills"), folders),))


def _image(value: Any, name: str, source: str) -> OldEntry:
    if value == _DEFAULT_IMAGE:
        return OldEntry(name, source, reason="it is the old product's default; Squire has an image of its own")
    return OldEntry(name, source, reason=WITHOUT_SETTING["SQUIRE_WORKER_IMAGE"])


_CONVERTED: Mapping[str, Callable[[Any, str, str], OldEntry]] = {
    "SQUIRE_MODEL": _model,
    "SQUIRE_SKILLS_DIR": _skills,
    "SQUIRE_WORKER_IMAGE": _image,
    "SQUIRE_AUTO_CLEANUP": _cleanup,
}


def _goals(goals: Any, source: str, folder: Path) -> Iterator[OldEntry]:
    texts = []
    for number, goal in enumerate(_list(goals, "goals", source), 1):
        name = f"goals, number {number}"
        table = _table(goal, name, source)
        if table.get("path"):
            file = read_old_file(folder / _text(table["path"], name, source))
            if file is None:
                yield OldEntry(name, source, reason="its file is not there, and the old product passed over it")
            else:
                texts.append(text_of(file).strip())
        if table.get("text"):
            texts.append(_text(table["text"], name, source).strip())
    if any(texts):
        yield OldEntry("goals", source, ((("planner", "goals"), "\n\n".join(filter(None, texts))),))


def _signals(signals: Mapping[str, Any], source: str, values: Mapping[str, Any]) -> Iterator[OldEntry]:
    github = _table(signals.get("github") or {}, "signals.github", source)
    squire = _table(_table(values.get("execution") or {}, "execution", source).get("squire") or {}, "squire", source)
    names = [
        *_list(github.get("repos") or [], "signals.github.repos", source),
        *([squire["default_repo"]] if squire.get("default_repo") else []),
        *_list(squire.get("repos") or [], "execution.squire.repos", source),
    ]
    if names:
        unique = list({str(name).casefold(): name for name in names}.values())
        yield OldEntry("signals.github.repos, execution.squire.repos", source, ((("repositories",), unique),))
    watched = _list(github.get("watch") or [], "signals.github.watch", source)
    known = [str(_SOURCES[name]) for name in watched if isinstance(name, str) and name in _SOURCES]
    if known:
        sources = [*dict.fromkeys(known), MANUAL_SOURCE, str(Source.REPOSITORY_TASKS)]
        reason = "of issues, those with the label `squire` are work" if "issues" in watched else ""
        yield OldEntry("signals.github.watch", source, ((("filters", "sources"), sources),), reason=reason)
    if len(known) < len(watched):
        yield OldEntry("signals.github.watch", source, reason="the old product has no other sources of GitHub's")
    if signals.get("posthog") is not None:
        reason = "PostHog's events would need a source of a package: docs/reference/sources.md"
        yield OldEntry("signals.posthog", source, reason=reason)
    if signals.get("files"):
        reason = (
            "lists of tasks lie in the folder `tasks` beside config.toml: copy the file there when it is to be done"
        )
        yield OldEntry("signals.files", source, reason=reason)


def _execution(execution: Mapping[str, Any], source: str) -> Iterator[OldEntry]:
    if execution.get("backend") not in {None, "", "squire"}:
        reason = "tasks are done by agents here; tasks as issues for others are not made"
        yield OldEntry("execution.backend", source, reason=reason)
    squire = _table(execution.get("squire") or {}, "execution.squire", source)
    if squire.get("model"):
        name = "execution.squire.model"
        yield _model(squire["model"], name, source)
    for name, setting in (("max_concurrent", "max_concurrent"), ("max_per_repo", "max_per_repository")):
        if squire.get(name):
            yield OldEntry(f"execution.squire.{name}", source, ((("dispatch", setting), _number(squire[name])),))


def _planner(llm: Mapping[str, Any], source: str) -> Iterator[OldEntry]:
    if not llm.get("model"):
        return
    settings: tuple[Setting, ...] = (
        (("planner", "model"), _text(llm["model"], "llm.model", source)),
        (("providers", AI_GATEWAY, "protocol"), "openai"),
        (("providers", AI_GATEWAY, "base_url"), AI_GATEWAY_URL),
        (("planner", "provider"), AI_GATEWAY),
    )
    yield OldEntry("llm.model", source, settings, reason=f"its key is the secret {AI_GATEWAY_KEY}")


def _schedule(schedule: Mapping[str, Any], source: str) -> Iterator[OldEntry]:
    if schedule.get("interval"):
        text = schedule["interval"]
        match = _INTERVAL.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(
                f"{source}: schedule.interval is no span like 30m or 1h; nothing was changed", hint="write it so"
            )
        seconds = int(match[1]) * _SECONDS[match[2].lower()]
        yield OldEntry("schedule.interval", source, ((("collection", "interval_s"), seconds),))
    for name, setting in (("timezone", "time_zone"), ("quiet_hours", "quiet_hours")):
        if schedule.get(name):
            yield OldEntry(f"schedule.{name}", source, ((("collection", setting), schedule[name]),))


def _notify(notify: Mapping[str, Any], source: str) -> Iterator[OldEntry]:
    reason = "alerts go to the targets in alerts.apprise, whose URLs are secrets: docs/guide/alerts.md"
    for name, table in notify.items():
        url = _table(table or {}, f"notify.{_short(name)}", source).get("webhook")
        url = url if isinstance(url, str) else ""
        yield OldEntry(
            f"notify.{_short(name)}",
            source,
            value=url,
            reason=f"{reason}; its address is a secret, which the backup alone keeps" if url else reason,
            hides=bool(url),
        )


def _number(value: Any) -> Any:
    """Return the number that a text is; anything else as it is, which the settings refuse."""
    is_number = isinstance(value, str) and value.strip().isdecimal() and len(value) <= _MAX_DIGITS
    return int(value) if is_number else value


def _text(value: Any, name: str, source: str) -> str:
    if not isinstance(value, str):
        raise _misformed(source, name, "text")
    return value.strip()


def _table(value: Any, name: str, source: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _misformed(source, name, "table")
    return value


def _list(value: Any, name: str, source: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_UNKNOWN * 10:
        raise _misformed(source, name, "list")
    return value


def _misformed(source: str, name: str, form: str) -> ConfigError:
    return ConfigError(f"{source}: {name} is no {form}; nothing was changed", hint="correct the file, or move it away")


def _short(name: str) -> str:
    return name if len(name) <= _MAX_UNKNOWN else name[: _MAX_UNKNOWN - 1] + "…"
