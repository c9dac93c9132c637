"""The file that an onboarding pull request proposes: every key, commented out, so that it changes nothing by itself."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.settings.file import toml_text
from squire_pipelines.settings.keys import model_in

_HEAD = """\
# Settings of Squire for this repository, read from the default branch alone.
# They tighten what its operator permits and never loosen it. Remove a "# " to set a key.
# Check the file before you merge it: squire config validate --repository-file .github/squire.toml
# For editors: squire config schema --repository-file > .github/squire.schema.json, and as first line here:
#   #:schema ./squire.schema.json
"""
_EXAMPLES: dict[str, Any] = {
    "extends": ["owner/repo//squire.toml"],
    "issue_labels": ["squire"],
    "ci.ignore": ["visual-*"],
    "filters.ignore_labels": ["wontfix"],
    "filters.ignore_authors": ["octocat"],
    "filters.drafts": False,
    "trust.min_permission": "maintain",
    "planner.approve": "manual",
    "planner.min_confidence": 0.8,
    "planner.max_risk": "low",
    "planner.max_tasks": 5,
    "planner.max_task_files": 3,
    "planner.max_task_lines": 200,
    "dispatch.max_per_repository": 1,
    "dispatch.max_attempts": 2,
    "dispatch.max_open_pull_requests": 5,
    "dispatch.max_new_pull_requests_per_hour": 1,
    "dispatch.dependencies": "merge",
    "budgets.attempt.usd": 2.0,
    "budgets.plan.usd": 0.5,
    "budgets.task.usd": 5.0,
    "budgets.repository.usd": 50.0,
    "policy.protected_paths": ["db/migrations/**"],
    "policy.protected": "reject",
    "policy.workflows": "reject",
    "policy.max_files": 20,
    "policy.max_changed_lines": 300,
    "policy.max_bytes": "1MiB",
    "policy.max_file_bytes": "512KiB",
    "policy.max_binary_bytes": "128KiB",
    "verification.setup": "npm ci",
    "verification.tests": "npm test",
    "verification.lint": "npm run lint",
    "verification.build": "npm run build",
    "verification.timeout_s": 600,
    "publishing.draft": "always",
    "publishing.labels": ["agent"],
    "publishing.reviewers": ["owner/team"],
    "publishing.title_convention": "conventional",
    "publishing.title_template": "{title}",
    "publishing.body_template": "{body}",
    "publishing.commit_template": "{title}",
    "follow.merge.enabled": False,
    "follow.merge.approvals": 2,
    "follow.merge.min_confidence": 0.9,
    "follow.merge.max_files": 5,
    "follow.merge.max_lines": 100,
    "follow.merge.allowed_paths": ["src/**", "tests/**"],
    "follow.merge.forbidden_paths": ["src/payments/**"],
    "follow.merge.quiet_hours": "18:00-08:00",
    "follow.merge.timezone": "Europe/Berlin",
}


def proposed_file() -> str:
    """Return the file's text. As it stands it says nothing; with the signs removed it is valid."""
    return _HEAD + "\n" + "\n".join(_lines(RepositoryFileSettings, "")) + "\n"


def _lines(model: type[BaseModel], table: str) -> Iterator[str]:
    tables: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = f"{table}.{name}".lstrip(".")
        inner = model_in(field.annotation)
        if inner is not None:
            tables.append((key, inner))
        elif key in _EXAMPLES:
            remark = f"  # {field.description}" if field.description else ""
            yield f"# {name} = {toml_text(_EXAMPLES[key])}{remark}"
    for key, inner in tables:
        yield ""
        yield f"[{key}]"
        yield from _lines(inner, key)
