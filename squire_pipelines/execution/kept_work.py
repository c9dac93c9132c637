"""Work that an attempt finished and could not publish: the next attempt publishes it, and no agent runs again.

What is kept is the bundle with the agent's transcript and the notes for reviewers: in the attempt's folder, or in the
store of files where another machine did the work. The pull request names the attempt whose agent did it.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.attempt_files import BUNDLE_FILE, NOTES_FILE, link_or_copy
from squire_pipelines.domain.endings import Evidence
from squire_pipelines.errors import WorkspaceError
from squire_pipelines.execution.conflicts import START_FILE, branch_head_of, bring_start, has_commit
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.stored_work import record_in_history, store_finished_work
from squire_pipelines.execution.workspace import EVIDENCE_FILE, folder_of
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.file_store.layout import PUSHING
from squire_pipelines.files import write_atomically
from squire_pipelines.home import make_folder
from squire_pipelines.ledger import attempts, outcomes
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.unpublished_work import with_unpublished_work
from squire_pipelines.publishing.mirror import Mirror

ORIGIN_FILE = "work-of.json"
"""In an attempt's `keep`: whose agent did the work, where that was another attempt's."""


@dataclass(frozen=True, slots=True)
class WorkOrigin:
    """Whose work it is, and the one branch that its bundle holds."""

    attempt_id: str
    branch: str


def take_kept_work(leased: LeasedAttempt, mirror: Mirror, *, branch: str) -> Attempt | None:
    """Have the attempt publish what the one before it left; return whose work that is, None when an agent has to run.

    Why work that was there cannot be taken is written into the task's history.

    Args:
        leased: The attempt.
        mirror: Of its repository, as it was fetched just now.
        branch: The task's as it was before this attempt, which the bundle holds.

    Raises:
        FileStoreError: The work may be in the store, which does not answer.
        WorkspaceError: The attempt's folder cannot be written.
        LeaseLostError: The attempt is another run's.
    """
    if leased.attempt.previous_id is None:
        return None
    with leased.ledger.read() as tx:
        earlier = [one for one in attempts.of_task(tx, leased.attempt.task_id) if one.number < leased.attempt.number]
    previous = with_unpublished_work(earlier)
    if previous is None or previous.base_sha is None or previous.head_sha is None:
        return None
    source = AttemptCopy(leased.settings, previous.id).keep()
    bring_start(mirror, previous.base_sha, source)
    if why_not := _why_not(leased, previous, source / BUNDLE_FILE, mirror):
        record_in_history(leased, f"the agent runs again: {why_not}")
        return None
    origin = origin_of(source) or WorkOrigin(previous.id, branch)
    with leased.ledger.read() as tx:
        work_of = attempts.get(tx, origin.attempt_id)
    _copy(source, folder_of(leased).keep, origin)
    store_finished_work(leased, folder_of(leased))
    record_in_history(leased, f"the work of attempt {work_of.id} is kept and is published; no agent runs again")
    facts = AttemptFacts(
        base_sha=previous.base_sha,
        agent=work_of.agent,
        verification=previous.verification,
        sandboxed=previous.sandboxed,
        runner=previous.runner,
    )
    with leased.ledger.write() as tx:
        attempts.note(tx, leased.attempt.id, leased.token, facts)
        attempts.start_publishing(tx, leased.attempt.id, leased.token, head_sha=previous.head_sha)
    return work_of


def bring_own_work(leased: LeasedAttempt) -> None:
    """Bring the attempt's own finished work to this machine, where another one did it.

    Raises:
        FileStoreError: The store does not give it.
        WorkspaceError: The attempt's folder cannot be written.
    """
    folder, copy = folder_of(leased), AttemptCopy(leased.settings, leased.attempt.id)
    if (folder.keep / BUNDLE_FILE).is_file():
        return
    source = copy.keep()
    try:
        make_folder(folder.root).chmod(0o700)
        folder.keep.mkdir(exist_ok=True, mode=0o700)
        for path in source.iterdir():
            write_atomically(folder.keep / path.name, path.read_bytes())
        if copy.may_be_pushed():
            (folder.root / PUSHING).touch(mode=0o600)
    except OSError as error:
        raise WorkspaceError(
            f"the work of attempt {leased.attempt.id} cannot be brought here: {error.strerror}",
            hint="check the free space and the owner of the attempts folder",
        ) from error


def origin_of(keep: Path) -> WorkOrigin | None:
    """Return whose work `keep` holds; None where it is the folder's own."""
    try:
        text = (keep / ORIGIN_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    stored = json.loads(text)
    return WorkOrigin(stored["attempt_id"], stored["branch"])  # a newer version may say more


def bundle_branch_of(leased: LeasedAttempt) -> str:
    """Return the one branch that the attempt's bundle holds: the task's, as it was called when its agent ran."""
    origin = origin_of(folder_of(leased).keep)
    return origin.branch if origin else leased.task.branch


def doer_of(leased: LeasedAttempt) -> Attempt:
    """Return the attempt whose agent did the work that is published: the leased one, or an earlier one of its task."""
    origin = origin_of(folder_of(leased).keep)
    with leased.ledger.read() as tx:
        return attempts.get(tx, origin.attempt_id if origin else leased.attempt.id)


def evidence_of_work(leased: LeasedAttempt) -> Evidence:
    """Return what was seen of the run of the agent that did the work; nothing where that is not known any more."""
    try:
        stored = json.loads((folder_of(leased).keep / EVIDENCE_FILE).read_bytes())
    except FileNotFoundError:
        return Evidence()
    return read_json(Evidence, stored) or Evidence()  # another version may have written it, on another machine


def _why_not(leased: LeasedAttempt, previous: Attempt, bundle: Path, mirror: Mirror) -> str:
    if not bundle.is_file():
        days = leased.settings.agent.log_retention_days
        return f"the work of attempt {previous.id} is gone (such files are kept for {days:g} days)"
    base_sha = previous.base_sha or ""
    if not has_commit(mirror, base_sha):
        return f"the work of attempt {previous.id} builds on {base_sha[:12]}, which the repository has no more"
    with leased.ledger.read() as tx:
        is_follow_up = outcomes.of_own_branch(tx, leased.task.repository, leased.task.base_branch) is not None
    built_on = branch_head_of(leased, mirror, base_sha)
    if is_follow_up and mirror.resolve(leased.task.base_branch) != built_on:
        return f"the branch that attempt {previous.id} added to has moved on since"
    return ""


def _copy(source: Path, target: Path, origin: WorkOrigin) -> None:
    try:
        make_folder(target.parent).chmod(0o700)
        target.mkdir(exist_ok=True, mode=0o700)
        for name in (TRANSCRIPT, NOTES_FILE, EVIDENCE_FILE, START_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
        write_atomically(target / ORIGIN_FILE, json.dumps(asdict(origin)).encode())
        link_or_copy(source / BUNDLE_FILE, target / BUNDLE_FILE)
    except OSError as error:
        raise WorkspaceError(
            f"the kept work of attempt {origin.attempt_id} cannot be taken over: {error.strerror}",
            hint="check the free space and the owner of the attempts folder",
        ) from error
