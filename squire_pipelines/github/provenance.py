"""From GitHub's objects to who stands behind a text: authors, later edits, and the labels that were set. Pure.

What follows from it is decided in `domain.authority`; what people may do is asked by `judging`.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from squire_pipelines.domain.authority import MAX_APPROVALS, Approval, Author, Provenance, TextChange, kind_of
from squire_pipelines.domain.signals import OpenIssue, Signal, UnapprovedText, issue_version
from squire_pipelines.domain.text import shorten
from squire_pipelines.github.models import (
    Actor,
    EditedText,
    Issue,
    IssuePart,
    Named,
    Nodes,
    PullRequest,
    TextEdit,
    TimelineEvent,
    clean_text,
)

MAX_BODY_CHARS = 20_000
_RENAMED = "RenamedTitleEvent"


def author_of(actor: Actor | None, association: str = "NONE") -> Author | None:
    """Return who did something, None when the account is gone; what a person may do is to be asked."""
    if actor is None:
        return None
    return Author(login=actor.login, kind=kind_of(actor.typename), association=association)


def provenance_of_issue(issue: Issue) -> Provenance:
    """Return what became of an issue's text, and who set its labels."""
    events = issue.timeline_items.nodes if issue.timeline_items else ()
    renames = [event for event in events if event.typename == _RENAMED]
    provenance = provenance_of(issue, approvals=standing_labels(issue.labels, events))
    changes = (*provenance.changes, *(TextChange(by=author_of(event.actor), at=event.created_at) for event in renames))
    return provenance.model_copy(update={"changes": changes})


def provenance_of(text: EditedText, *, approvals: tuple[Approval, ...]) -> Provenance:
    """Return what became of a text of which the last edit is known, and so that there may have been others."""
    edits = () if text.last_edited_at is None else (TextChange(by=author_of(text.editor), at=text.last_edited_at),)
    return Provenance(
        written_at=text.created_at, changes=edits, changes_complete=not edits, approvals=approvals[-MAX_APPROVALS:]
    )


def labels_of_pull_request(pull: PullRequest) -> tuple[Approval, ...]:
    """Return who set a pull request's labels, where that was asked for."""
    return standing_labels(pull.labels, pull.timeline_items.nodes if pull.timeline_items else ())


def standing_labels(labels: Nodes[Named] | None, events: Iterable[TimelineEvent]) -> tuple[Approval, ...]:
    """Return who set each label that is there now, and when; those whose setting is not among the events are left out.

    A label may be taken off and set again: the last time counts.
    """
    last = {event.label.name.casefold(): event for event in events if event.label is not None}
    return tuple(
        Approval(label=name, by=author_of(event.actor), at=event.created_at)
        for name in label_names(labels)
        if (event := last.get(name.casefold())) is not None
    )


def with_changes(signal: Signal, history: IssuePart) -> Signal:
    """Return an issue's signal with all changes of its text, by whom and when, that the history has."""
    if signal.provenance is None:
        return signal
    written_at, seen = signal.provenance.written_at, signal.provenance.changes
    edits = history.user_content_edits
    changes = (
        # The first of GitHub's versions is the text as it was written, which is no change.
        *(
            TextChange(by=author_of(edit.editor), at=edit.edited_at)
            for edit in (edits.nodes if edits else ())
            if written_at is None or edit.edited_at > written_at
        ),
        *(TextChange(by=author_of(event.actor), at=event.created_at) for event in _renames(history)),
    )
    unknown = [change for change in seen if change.at not in {other.at for other in changes}]
    complete = edits is not None and not edits.is_incomplete and not edits.page_info.has_next_page and not unknown
    provenance = signal.provenance.model_copy(update={"changes": (*changes, *unknown), "changes_complete": complete})
    return signal.model_copy(update={"provenance": provenance})


def with_approved_text(
    signal: Signal, history: IssuePart, moment: datetime, *, chosen_labels: Collection[str]
) -> Signal:
    """Return an issue's signal with the text as it stood before `moment`, and the present one as not approved.

    The signal itself is returned where the history does not have that text: somebody may have deleted the version. The
    newest version must be the present text, or GitHub's versions are not whole texts.
    """
    if not isinstance(signal.details, OpenIssue):
        return signal
    versions = sorted(history.user_content_edits.nodes if history.user_content_edits else (), key=_edited_at)
    body: str | None = signal.details.body
    if versions:
        body = next((_text(edit) for edit in reversed(versions) if edit.edited_at < moment), None)
    if body is None or (versions and _text(versions[-1]) != signal.details.body):
        return signal
    title = next((event.previous_title for event in _renames(history) if event.created_at >= moment), signal.title)
    present = UnapprovedText(title=signal.title, body=signal.details.body, version=signal.version)
    details = signal.details.model_copy(update={"body": body, "unapproved": present})
    version = issue_version(title, body, details.labels, chosen_labels)
    return signal.model_copy(update={"title": title, "version": version, "details": details})


def _text(edit: TextEdit) -> str | None:
    return None if edit.text is None else issue_text(str(clean_text(edit.text)))


def issue_text(body: str) -> str:
    """Return the text of an issue as a signal has it, whatever ends its lines: its versions are compared by it."""
    return shorten(body.replace("\r\n", "\n"), MAX_BODY_CHARS)


def _renames(history: IssuePart) -> list[TimelineEvent]:
    events = history.timeline_items.nodes if history.timeline_items else ()
    return sorted((event for event in events if event.typename == _RENAMED), key=lambda event: event.created_at)


def _edited_at(edit: TextEdit) -> datetime:
    return edit.edited_at


def label_names(labels: Nodes[Named] | None) -> tuple[str, ...]:
    """Return the names of labels, in order."""
    return tuple(sorted(label.name for label in labels.nodes)) if labels else ()
