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
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.goals import SetGoals, goals_for, group_goals
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
    basis = {
        **_basis(settings, goals_for(settings, repository)),
        "labels": sorted(settings.issue_labels_for(repository)),
        "filters": settings.filters_for(repository).model_dump_json(),
    }
    return _digest(basis)


def group_digest(settings: Settings, group: PlanGroup) -> str:
    """Return the digest of what decides about a plan over several repositories, which are a part of it."""
    source = group_goals(settings.planner.group.index(group), group)
    return _digest({**_basis(settings, source), "repositories": sorted(group.repositories)})


def _basis(settings: Settings, source: SetGoals) -> dict[str, object]:
    planner = settings.planner
    is_asked = planner.kind != "rules" and planner.model is not None
    providers = settings.planner_providers() if is_asked else ()
    return {
        "model": planner.model if is_asked else None,
        "providers": [(provider.name, provider.base_url, dict(provider.aliases)) for provider in providers],
        "prompt": _prompt(planner.prompts) if is_asked else None,
        "goals": goals_or_reason(source) if is_asked else None,
        "max_tasks": planner.max_tasks,
        "bounds": (planner.max_task_files, planner.max_task_lines, planner.context_tokens) if is_asked else None,
    }


def _digest(basis: dict[str, object]) -> str:
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
