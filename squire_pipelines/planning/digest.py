"""Digests of what a plan is made from: the signals that a planner saw, and the settings by which it plans."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from squire_pipelines.domain.signals import OpenIssue, Signal
from squire_pipelines.errors import ConfigError
from squire_pipelines.planning.goal_files import goals_or_reason
from squire_pipelines.planning.prompt import prompt_version
from squire_pipelines.planning.prompt_files import load_prompts
from squire_pipelines.settings.goals import goals_for
from squire_pipelines.settings.model import Settings


def signals_digest(signals: Iterable[Signal]) -> str:
    """Return 32 hexadecimal digits over the signals' refs and versions, and which of them may start work.

    The labels of issues count too, since filters choose by them. Order and repetition do not matter.
    """
    facts = sorted(
        {"\x00".join((signal.ref, signal.version, str(_starts(signal)), *_labels(signal))) for signal in signals}
    )
    return hashlib.sha256("\x01".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def settings_digest(settings: Settings, repository: str) -> str:
    """Return 32 hexadecimal digits over what decides about a plan beside the signals.

    That are the goals, the model with its providers, the prompt's version, and what chooses among the signals.
    """
    planner = settings.planner
    is_asked = planner.kind != "rules" and planner.model is not None
    providers = settings.planner_providers() if is_asked else ()
    basis = {
        "model": planner.model if is_asked else None,
        "providers": [(provider.name, provider.base_url, dict(provider.aliases)) for provider in providers],
        "prompt": _prompt(planner.prompts) if is_asked else None,
        "goals": goals_or_reason(goals_for(settings, repository)) if is_asked else None,
        "max_tasks": planner.max_tasks,
        "bounds": (planner.max_task_files, planner.max_task_lines, planner.context_tokens) if is_asked else None,
        "labels": sorted(settings.issue_labels_for(repository)),
        "filters": settings.filters_for(repository).model_dump_json(),
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _prompt(folder: Path | None) -> str:
    """Return the prompt's version; of one that cannot be used, which the plan itself reports, why."""
    try:
        return prompt_version(load_prompts(folder))
    except ConfigError as error:
        return error.message


def _labels(signal: Signal) -> tuple[str, ...]:
    return signal.details.labels if isinstance(signal.details, OpenIssue) else ()


def _starts(signal: Signal) -> bool:
    return signal.verdict is not None and signal.verdict.may_start
