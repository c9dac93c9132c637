"""A task as a model answers it, for tests that play the model."""

from typing import Any


def task_draft(**fields: Any) -> dict[str, Any]:
    """Return a valid task that resolves issue 10, with these fields in place of its own."""
    return {
        "key": "fix",
        "title": "Fix it",
        "kind": "resolve_issue",
        "prompt": "Do this.",
        "priority": "high",
        "confidence": 0.9,
        "confidence_factors": ["the issue names the line"],
        "size": {"files": 2, "lines": 40},
        "base_branch": "main",
        "signals": ["open_issue:10"],
        "evidence": ["open_issue:10"],
        **fields,
    }
