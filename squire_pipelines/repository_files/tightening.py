"""What the operator's settings become in a repository that has a file of its own. Pure.

The result permits at most what the operator's settings permit, key by key: lists of what is left out grow, lists of
what is let in shrink, of two limits the lower one counts. How pull requests look has no order: there the operator's
word counts where there is one.
"""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from squire_pipelines.domain.authority import RepositoryPermission
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose, Scope
from squire_pipelines.domain.tasks import Risk
from squire_pipelines.domain.verification import MAX_COMMAND
from squire_pipelines.repository_files.keys import (
    RepositoryBudgets,
    RepositoryFileSettings,
    RepositoryLimit,
    RepositoryMerge,
)
from squire_pipelines.sections.merging import MergeSettings
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.sections.signals import MAX_PATTERNS
from squire_pipelines.sections.tasks import PublishingSettings, VerificationSettings
from squire_pipelines.sections.texts import MAX_LABELS, MAX_REVIEWERS
from squire_pipelines.settings.model import Settings

_Number = TypeVar("_Number", int, float)
_DRAFTS = ("never", "untrusted", "always")
_COMMANDS = ("setup", "tests", "lint", "build")
_STYLES = ("title_convention", "title_template", "body_template", "commit_template")
_COUNTS = ("max_per_repository", "max_attempts", "max_open_pull_requests", "max_new_pull_requests_per_hour")
_SIZES = ("max_files", "max_changed_lines", "max_bytes", "max_file_bytes", "max_binary_bytes")


def tightened(settings: Settings, repository: str, file: RepositoryFileSettings) -> Settings:
    """Return the settings that hold for one repository: the operator's, with what its own file asks for.

    Those of the general sections, such as `planner` and `publishing`, are for this repository too: the result is not
    for any other.

    Args:
        settings: The operator's.
        repository: Whose file it is.
        file: What it says, with what it extends.
    """
    name = settings.spelling_of(repository) or repository
    own = settings.repository.get(name, RepositoryOverrides())
    sections = {
        "ci": _ci(settings, name, file),
        "filters": _filters(settings, name, file),
        "trust": _trust(settings, name, file),
        "policy": _policy(settings, name, file),
        "budgets": _budgets(settings.budgets_for(name), file.budgets),
        "verification": _verification(settings.verification_for(name), file),
        "follow": _follow(settings.follow_for(name).merge, file.follow.merge),
    }
    values: dict[str, Any] = {key: {**getattr(own, key), **section} for key, section in sections.items() if section}
    if file.issue_labels is not None:
        labels = {label.casefold() for label in file.issue_labels}
        known = settings.issue_labels_for(name)
        values["issue_labels"] = tuple(label for label in known if label.casefold() in labels)
    overrides = own.model_copy(update=values)
    return settings.model_copy(
        update={
            "repository": {**settings.repository, name: overrides},
            "planner": settings.planner.model_copy(update=_planner(settings, file)),
            "dispatch": settings.dispatch.model_copy(update=_dispatch(settings, file)),
            "publishing": settings.publishing.model_copy(update=_publishing(settings.publishing, file)),
        }
    )


def effects_missing(settings: Settings, repository: str, file: RepositoryFileSettings) -> tuple[str, ...]:
    """Return a sentence for each thing that a file asks for and that the operator's settings leave without effect."""
    notes = []
    known = {label.casefold() for label in settings.issue_labels_for(repository)}
    unknown = [label for label in file.issue_labels or () if label.casefold() not in known]
    if unknown:
        notes.append(f"issue_labels: {', '.join(unknown)} is not among the operator's labels, and chooses no issue")
    rules = settings.verification_for(repository)
    commands = [name for name in _COMMANDS if getattr(file.verification, name)]
    if commands and not rules.enabled:
        notes.append(f"verification: the operator has switched it off, so that {', '.join(commands)} is not run")
    notes += [
        f"verification.{name}: it is too long together with the operator's, and is not run"
        for name in commands
        if rules.enabled and _joined(getattr(rules, name), getattr(file.verification, name)) == getattr(rules, name)
    ]
    if file.follow.merge.model_fields_set - {"enabled"} and not settings.follow_for(repository).merge.enabled:
        notes.append("follow.merge: the operator has not switched merging on, so that people merge in any case")
    notes += [
        f"publishing.{name}: the operator has set it, and that counts"
        for name in _STYLES
        if getattr(file.publishing, name) is not None and getattr(settings.publishing, name) is not None
    ]
    return tuple(notes)


def _joined_names(known: Sequence[str], further: Iterable[str], most: int) -> tuple[str, ...]:
    """Return both without repetition; the operator's come first, so that the bound leaves out none of them."""
    return tuple(dict.fromkeys((*known, *further)))[: max(most, len(known))]


def _lower(known: _Number, asked: _Number | None) -> _Number:
    return known if asked is None else min(known, asked)


def _lower_limit(known: Limit, asked: RepositoryLimit | Limit) -> Limit:
    def lower(one: _Number | None, other: _Number | None) -> _Number | None:
        return other if one is None else _lower(one, other)

    return Limit(usd=lower(known.usd, asked.usd), tokens=lower(known.tokens, asked.tokens))


def _ci(settings: Settings, name: str, file: RepositoryFileSettings) -> dict[str, Any]:
    if not file.ci.ignore:
        return {}
    return {"ignore": _joined_names(settings.ci_for(name).ignore, file.ci.ignore, MAX_PATTERNS)}


def _filters(settings: Settings, name: str, file: RepositoryFileSettings) -> dict[str, Any]:
    known, asked = settings.filters_for(name), file.filters
    values: dict[str, Any] = {
        key: _joined_names(getattr(known, key), getattr(asked, key), MAX_PATTERNS)
        for key in ("ignore_labels", "ignore_authors")
        if getattr(asked, key)
    }
    return values | ({} if asked.drafts is None else {"drafts": False})


def _trust(settings: Settings, name: str, file: RepositoryFileSettings) -> dict[str, Any]:
    asked = file.trust.min_permission
    if asked is None:
        return {}
    known = settings.trust_for(name).min_permission
    return {"min_permission": max(known, asked, key=lambda permission: RepositoryPermission(permission).rank)}


def _policy(settings: Settings, name: str, file: RepositoryFileSettings) -> dict[str, Any]:
    known, asked = settings.policy_for(name), file.policy
    values: dict[str, Any] = {
        key: min(getattr(known, key), getattr(asked, key)) for key in _SIZES if getattr(asked, key) is not None
    }
    if asked.protected_paths:
        values["protected_paths"] = tuple(dict.fromkeys((*known.protected_paths, *asked.protected_paths)))
    return values | {key: "reject" for key in ("protected", "workflows") if getattr(asked, key) is not None}


def _budgets(known: BudgetLimits, asked: RepositoryBudgets) -> dict[str, Any]:
    """Return the lower limits, none of one attempt or plan above a wider one's, as it could never start."""
    if asked == RepositoryBudgets():
        return {}
    limits = {scope: _lower_limit(known.of(scope), getattr(asked, scope)) for scope in (Scope.TASK, Scope.REPOSITORY)}
    wide = (Scope.TASK, Scope.REPOSITORY, Scope.DAY, Scope.MONTH)
    for purpose in Purpose:
        scope = Scope(purpose)
        limit = _lower_limit(known.of(scope), getattr(asked, scope))
        if getattr(asked, scope) != RepositoryLimit():
            # Without one of its own it has a part of the wider ones, which a limit of the file must not raise.
            limit = _lower_limit(limit, known.cap(purpose))
        for other in wide if purpose is Purpose.ATTEMPT else wide[1:]:
            bound = limits.get(other, known.of(other))
            limit = Limit(
                usd=None if limit.usd is None else _lower(limit.usd, bound.usd),
                tokens=None if limit.tokens is None else _lower(limit.tokens, bound.tokens),
            )
        limits[scope] = limit
    return {scope.value: limit.model_dump() for scope, limit in limits.items()}


def _verification(known: VerificationSettings, file: RepositoryFileSettings) -> dict[str, Any]:
    asked = file.verification
    values: dict[str, Any] = {
        name: _joined(getattr(known, name), getattr(asked, name)) for name in _COMMANDS if getattr(asked, name)
    }
    if asked.timeout_s is not None:
        values["timeout_s"] = min(known.timeout_s, asked.timeout_s)
    return values


def _follow(known: MergeSettings, asked: RepositoryMerge) -> dict[str, Any]:
    """Return the stricter conditions as a whole table, since it takes the place of the repository's own."""
    if not asked.model_fields_set:
        return {}
    values: dict[str, Any] = {
        "approvals": max(known.approvals, asked.approvals or 0),
        "max_files": _lower(known.max_files, asked.max_files),
        "max_lines": _lower(known.max_lines, asked.max_lines),
        "forbidden_paths": tuple(dict.fromkeys((*known.forbidden_paths, *asked.forbidden_paths))),
    }
    if asked.enabled is not None:
        values["enabled"] = False
    if asked.min_confidence is not None:
        values["min_confidence"] = max(known.min_confidence or 0, asked.min_confidence)
    if asked.allowed_paths:
        values["narrower_paths"] = (*known.narrower_paths, asked.allowed_paths)
    if asked.quiet_hours is not None:
        values["more_quiet_hours"] = (*known.more_quiet_hours, f"{asked.quiet_hours} {asked.timezone}")
    return {"merge": known.model_dump() | values}


def _joined(known: str | None, further: str) -> str:
    """Return a line that runs both, the operator's first; each in a shell of its own, so that neither ends the other.

    Where both are too long for one line, the operator's is left.
    """
    if not known:
        return further
    both = f"/bin/sh -c {shlex.quote(known)} && /bin/sh -c {shlex.quote(further)}"
    return both if len(both) <= MAX_COMMAND else known


def _planner(settings: Settings, file: RepositoryFileSettings) -> dict[str, Any]:
    known, asked = settings.planner, file.planner
    most = ("max_tasks", "max_task_files", "max_task_lines")
    values: dict[str, Any] = {key: _lower(getattr(known, key), getattr(asked, key)) for key in most}
    if asked.approve is not None:
        values["approve"] = asked.approve
    if asked.min_confidence is not None:
        values["min_confidence"] = max(known.min_confidence, asked.min_confidence)
    if asked.max_risk is not None:
        values["max_risk"] = min(known.max_risk, asked.max_risk, key=lambda risk: Risk(risk).rank)
    return values


def _dispatch(settings: Settings, file: RepositoryFileSettings) -> dict[str, Any]:
    known, asked = settings.dispatch, file.dispatch
    values: dict[str, Any] = {key: _lower(getattr(known, key), getattr(asked, key)) for key in _COUNTS}
    return values | ({} if asked.dependencies is None else {"dependencies": asked.dependencies})


def _publishing(known: PublishingSettings, file: RepositoryFileSettings) -> dict[str, Any]:
    asked = file.publishing
    values: dict[str, Any] = {
        "labels": _joined_names(known.labels, asked.labels, MAX_LABELS),
        "reviewers": _joined_names(known.reviewers, asked.reviewers, MAX_REVIEWERS),
    }
    if asked.draft is not None:
        values["draft"] = max(known.draft, asked.draft, key=_DRAFTS.index)
    return values | {name: getattr(asked, name) for name in _STYLES if getattr(known, name) is None}


def combined(base: BaseModel, own: BaseModel) -> dict[str, Any]:
    """Return what two files say together as nested tables: a key that `own` has counts, whatever `base` says of it."""
    values = base.model_dump(exclude_unset=True)
    for name in own.model_fields_set:
        value, other = getattr(own, name), getattr(base, name)
        is_table = isinstance(value, BaseModel) and isinstance(other, BaseModel)
        values[name] = combined(other, value) if is_table else value
    return values
