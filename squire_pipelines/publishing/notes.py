"""Tells an agent of the policy before it begins, so that it does not lose its work to it. Pure."""

from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.sections.tasks import PolicySettings

_MAX_SHOWN = 200


def policy_notes(policy: PolicySettings, spec: TaskSpec) -> tuple[str, ...]:
    """Return one sentence for each rule that an agent could break by a mistake."""
    notes = []
    if policy.allowed_paths:
        notes.append(f"Only files under these paths may be changed: {_listed(policy.allowed_paths)}.")
    closed = tuple(path for path in policy.protected_paths if path not in spec.allow_protected)
    if closed and policy.protected == "reject":
        notes.append(f"A change of one of these paths is refused, with all the rest of your work: {_listed(closed)}.")
    if open_paths := tuple(
        path for path in spec.allow_protected if policy.workflows == "approve" or not _is_workflow(path)
    ):
        notes.append(f"For this task you may change these protected paths; a person will look: {_listed(open_paths)}.")
    notes.append(
        f"At most {policy.max_files} files and {policy.max_changed_lines} lines should change. Write no credential, "
        "token or password into a file or a commit's message, and close no issue by it."
    )
    return tuple(notes)


def _is_workflow(path: str) -> bool:
    return matches(path.rstrip("*/"), (".github/workflows", ".github/actions")) is not None


def _listed(paths: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:_MAX_SHOWN])
    return shown + (f" and {len(paths) - _MAX_SHOWN} more" if len(paths) > _MAX_SHOWN else "")
