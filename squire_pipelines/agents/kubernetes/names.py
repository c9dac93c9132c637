"""Names and labels of an attempt's objects in a cluster: always the same, so that a later process finds them. Pure."""

import hashlib
import re
from collections.abc import Mapping

from squire_pipelines.agents.model import AttemptInputs

ROLE = "squire/role"
ROLE_AGENT = "agent"
ATTEMPT = "squire/attempt"
UNIT = "squire/unit"
TASK = "squire/task"
TENANT = "squire/tenant"
REPOSITORY_HASH = "squire/repository-hash"
TRACE = "squire/trace"
RUN = "squire/run"
REPOSITORY = "squire/repository"
SELECTOR = f"{ROLE}={ROLE_AGENT}"
"""Selects all Jobs and pods of agents."""

# Of a Job: its pods' names add six characters, and become their hosts' names.
# https://kubernetes.io/docs/concepts/workloads/controllers/job/#writing-a-job-spec
_MAX_NAME = 57
_DIGEST_CHARS = 10
_MAX_VALUE = 63


def job_name(unit: str) -> str:
    """Return the name of the Job, and of its Secret, of a unit (`AttemptInputs.unit`).

    A unit that is no DNS label, or too long for one, is changed and gets a digest of itself, so that two units never
    have one name.
    """
    name = f"squire-{unit}"
    label = re.sub(r"[^a-z0-9-]", "-", name.lower())
    if label == name and len(name) <= _MAX_NAME and not name.endswith("-"):
        return name
    digest = hashlib.sha256(unit.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{label[: _MAX_NAME - _DIGEST_CHARS - 1].rstrip('-')}-{digest}"


def label_value(text: str) -> str:
    """Return a text as a label's value, changed where it is none.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:_MAX_VALUE].strip("-_.")


def labels(inputs: AttemptInputs, tenant: str) -> dict[str, str]:
    """Return the labels of an attempt's Job, pod and Secret."""
    return {
        "app.kubernetes.io/name": "squire-agent",
        "app.kubernetes.io/part-of": "squire",
        "app.kubernetes.io/managed-by": "squire",
        ROLE: ROLE_AGENT,
        ATTEMPT: label_value(inputs.attempt_id),
        UNIT: job_name(inputs.unit),
        TASK: label_value(inputs.task_id),
        TENANT: label_value(tenant),
        REPOSITORY_HASH: hashlib.sha256(inputs.repository.lower().encode()).hexdigest()[:16],
    }


def annotations(inputs: AttemptInputs) -> dict[str, str]:
    """Return what people and logs find an attempt's objects by, which no selector needs."""
    return {
        ATTEMPT: inputs.attempt_id,
        REPOSITORY: inputs.repository,
        RUN: inputs.run_id or "",
        TRACE: inputs.trace_id,
    }


def attempt_of(metadata: Mapping[str, object]) -> str:
    """Return whose an object is by its metadata; empty when it is none of ours."""
    values = metadata.get("annotations")
    return str(values.get(ATTEMPT, "")) if isinstance(values, dict) else ""
