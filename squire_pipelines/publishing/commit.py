"""Writes the one commit that is published: the agent's final tree in our name, with our message and our date.

The agent's own commits stay in the scratch repository. What Squire signs is rebuilt from what it knows, so that no
author, trailer, header or message of the agent's can reach GitHub.
"""

import re
import unicodedata

from squire_pipelines.domain.hidden import is_unseen
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.escaping import without_keys
from squire_pipelines.publishing.git import run_git
from squire_pipelines.publishing.request import PublishRequest

MAX_SUBJECT_CHARS = 72
_PUNCTUATION = frozenset("-_.,:;()'\"/+=&%? ")
"""Signs that mean nothing to git, to GitHub or to a continuous integration: no brackets, stars, `@`, `#` or `!`."""
_AT_NO_END = "-_.,:;/+=&%? "
_ISSUE = re.compile(r"(?<![A-Za-z0-9_])GH-(?=\d)", re.IGNORECASE)


def commit_subject(title: str) -> str:
    """Return a task's title as the first line of a commit: letters, digits and harmless punctuation, one short line.

    The title may be an issue's, which a stranger wrote. `[skip ci]` and its kin need brackets or stars, a mention `@`,
    a reference `#` or `GH-`, another tracker's order to end an issue a key like `ENG-1`, a link `://`, an automatic
    squash `!`, and a trailer a line of its own.
    """
    text = unicodedata.normalize("NFC", title)[: 4 * MAX_SUBJECT_CHARS].replace("://", " ")
    kept = " ".join("".join(sign if _is_harmless(sign) else " " for sign in text).split())
    kept = _ISSUE.sub("GH ", kept)
    kept = without_keys(kept)
    return kept.strip(_AT_NO_END)[:MAX_SUBJECT_CHARS].rstrip(_AT_NO_END)


def _is_harmless(sign: str) -> bool:
    if sign in _PUNCTUATION:
        return True
    # A few letters and marks are drawn as nothing.
    return unicodedata.category(sign) in {"Lu", "Ll", "Lt", "Lo", "Mn", "Mc", "Nd"} and not is_unseen(sign)


def commit_message(request: PublishRequest) -> str:
    """Return the message of the commit: what was asked for, which attempt did it, and its author's sign-off if set.

    Checks of the Developer Certificate of Origin compare the sign-off with the commit's author:
    https://github.com/dcoapp/app#how-it-works
    """
    subject = commit_subject(request.fill(request.style.commit)) or f"Work on task {request.task_id}"
    made_by = f"Made by task {request.task_id}, attempt {request.attempt_id}, under the trace id {request.trace_id}."
    sign_off = f"\nSigned-off-by: {request.bot_name} <{request.bot_email}>\n" if request.style.is_signed_off else ""
    return f"{subject}\n\n{made_by}\n{sign_off}"


def commit_change(change: VerifiedChange, request: PublishRequest) -> str:
    """Write the commit into the scratch repository and return its id, which is the same at every call.

    Its tree is the agent's final one, its one parent is the base; a merge has the branch's head and the base's. Raises
    GitError.
    """
    tree = run_git(["rev-parse", "--verify", f"{change.head_sha}^{{tree}}"], git_dir=change.git_dir).decode().strip()
    date = f"{int(request.queued_at.timestamp())} +0000"
    roles = ("AUTHOR", "COMMITTER")
    environment = {f"GIT_{role}_NAME": request.bot_name for role in roles}
    environment |= {f"GIT_{role}_EMAIL": request.bot_email for role in roles}
    environment |= {f"GIT_{role}_DATE": date for role in roles}
    written = run_git(
        ["commit-tree", "--no-gpg-sign", *(part for parent in request.parents for part in ("-p", parent)), tree],
        git_dir=change.git_dir,
        stdin=commit_message(request).encode(),
        environment=environment,
    )
    return written.decode().strip()
