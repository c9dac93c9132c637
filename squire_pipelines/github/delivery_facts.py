"""What the settings' rules ask of a delivery, read from its body. Pure, and tolerant: what has another form is unknown.

The rules are `domain.delivery_filters`'s.
"""

from collections.abc import Iterator, Mapping

from squire_pipelines.domain.commands import parse_commands
from squire_pipelines.domain.delivery_filters import MAX_PATHS, OWN_MARK, DeliveryFacts

_MAX_COMMITS = 2048
"""So many commits GitHub lists of a push at most
(https://docs.github.com/en/webhooks/webhook-events-and-payloads#push)."""

_MAX_NAME, _MAX_PATH = 255, 4096
_MAX_LABELS = 100
_HEADS = "refs/heads/"
_BOT_TYPES = {"Bot": True, "User": False}
_CHECKS = ("check_run", "check_suite", "workflow_run")


def facts_of(event: str, data: Mapping[str, object]) -> DeliveryFacts:
    """Return what rules ask of a delivery with this object as its body."""
    sender = _object(data, "sender")
    comment = _text(_object(data, "comment") or _object(data, "review"), "body") or ""
    check = next((value for name in _CHECKS if (value := _object(data, name))), {})
    suite = _object(check, "check_suite")
    return DeliveryFacts(
        event=event,
        action=_name(data, "action"),
        repository=_name(_object(data, "repository"), "full_name"),
        sender=_name(sender, "login"),
        is_bot=_BOT_TYPES.get(_text(sender, "type") or ""),
        branches=tuple(dict.fromkeys(_branches(event, data, check, suite))),
        labels=_labels(data),
        paths=_paths(event, data),
        is_marked=comment.startswith(OWN_MARK) and not parse_commands(comment),
        app=_name(_object(check, "app"), "slug"),
    )


def _branches(
    event: str, data: Mapping[str, object], check: Mapping[str, object], suite: Mapping[str, object]
) -> Iterator[str]:
    pull = _object(data, "pull_request")
    for side in ("head", "base"):
        if name := _name(_object(pull, side), "ref"):
            yield name
    ref = _text(data, "ref") or ""
    if event == "push" and ref.startswith(_HEADS):
        yield ref.removeprefix(_HEADS)
    elif event in {"create", "delete"} and data.get("ref_type") == "branch" and ref:
        yield ref
    for place in (check, suite):
        if name := _name(place, "head_branch"):
            yield name
    if event == "status":
        for branch in _objects(data, "branches", _MAX_LABELS):
            if name := _name(branch, "name"):
                yield name


def _labels(data: Mapping[str, object]) -> tuple[str, ...] | None:
    subject = _object(data, "pull_request") or _object(data, "issue")
    if not isinstance(subject.get("labels"), list):
        return None
    labels = [_object(data, "label"), *_objects(subject, "labels", _MAX_LABELS)]
    return tuple(dict.fromkeys(name for label in labels if (name := _name(label, "name"))))


def _paths(event: str, data: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return the paths that a push changed, or a remark is about; None where not all of them are there."""
    paths: list[object] | None = None
    if event == "pull_request_review_comment":
        paths = [_object(data, "comment").get("path")]
    elif event == "push":
        paths = _pushed_paths(data)
    if not paths or len(paths) > MAX_PATHS:
        return None
    names = tuple(path for path in paths if isinstance(path, str) and len(path) <= _MAX_PATH)
    return tuple(dict.fromkeys(names)) if len(names) == len(paths) else None


def _pushed_paths(data: Mapping[str, object]) -> list[object] | None:
    commits = data.get("commits")
    # What a forced push took away, and what a new branch differs by, its commits do not tell.
    if data.get("forced") is True or data.get("created") is True or not isinstance(commits, list):
        return None
    if len(commits) >= _MAX_COMMITS:
        return None
    paths: list[object] = []
    for commit in commits:
        for kind in ("added", "modified", "removed"):
            names = commit.get(kind) if isinstance(commit, dict) else None
            if not isinstance(names, list) or len(paths) + len(names) > MAX_PATHS:
                return None
            paths += names
    return paths


def _object(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _objects(data: Mapping[str, object], key: str, most: int) -> Iterator[Mapping[str, object]]:
    values = data.get(key)
    return (value for value in (values[:most] if isinstance(values, list) else ()) if isinstance(value, dict))


def _text(data: Mapping[str, object], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _name(data: Mapping[str, object], key: str) -> str | None:
    value = _text(data, key)
    return value if value and len(value) <= _MAX_NAME else None
