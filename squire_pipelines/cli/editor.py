"""The person's editor: a text is written in a draft, which is a file of this user's alone until it is done."""

import contextlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from squire_pipelines.errors import SettingError
from squire_pipelines.home import make_folder

MAX_DRAFT_BYTES = 2**20
_SCISSORS = "--- What stands below this line is left out. ---"


def named_editor() -> str | None:
    """Return the editor that $VISUAL or $EDITOR names, None where neither does."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or None


def new_draft(folder: Path, name: str, content: bytes) -> Path:
    """Return a new file with this content in a folder of its own below `folder`."""
    draft = Path(tempfile.mkdtemp(dir=make_folder(folder), prefix="edit-")) / name
    draft.write_bytes(content)
    draft.chmod(0o600)
    return draft


def forget_draft(draft: Path) -> None:
    """Remove a draft, which may be gone."""
    draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # an editor may have left a copy of its own beside it
        draft.parent.rmdir()


def run_editor(editor: str, draft: Path, *, before: bytes) -> None:
    """Run the person's editor, which has no time limit. Raises SettingError, and keeps the draft if it was changed."""
    try:
        words = shlex.split(editor)
        done = subprocess.run([*words, str(draft)], check=False)
    except (OSError, ValueError) as error:
        forget_draft(draft)
        raise SettingError(
            f"the editor {editor!r} does not start: {error}", hint="set EDITOR to a program that is installed"
        ) from error
    if done.returncode != 0:
        is_changed = draft.is_file() and draft.read_bytes() != before
        if not is_changed:
            forget_draft(draft)
        raise SettingError(
            f"the editor {editor!r} ended with {done.returncode}, and nothing was written",
            hint=f"your text is kept in {draft}" if is_changed else "do it again",
        )


def write_text(editor: str, folder: Path, text: str, *, explanation: str, most: int) -> str:
    """Have the person write a text that begins with `text`, and return it without the explanation below it.

    The draft is removed once its text is taken, so that nothing that a person wrote is lost.

    Raises:
        SettingError: The editor does not start or fails, or leaves what is no text of at most `most` characters.
    """
    content = f"{text}\n\n{_SCISSORS}\n{explanation}\n".encode()
    draft = new_draft(folder, "request.md", content)
    try:
        run_editor(editor, draft, before=content)
    except KeyboardInterrupt:
        forget_draft(draft)
        raise
    kept = f"what is kept in {draft}, and have it read with `--prompt - < FILE`"
    try:
        with draft.open("rb") as file:
            content = file.read(MAX_DRAFT_BYTES + 1)
        written = "" if len(content) > MAX_DRAFT_BYTES else content.decode("utf-8").partition(_SCISSORS)[0].strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"convert {kept}" if draft.is_file() else "do it again with another editor"
        raise SettingError("the editor left no text in UTF-8", hint=hint) from error
    if len(content) > MAX_DRAFT_BYTES or len(written) > most:
        raise SettingError(f"the text has more than {most:,} characters", hint=f"shorten {kept}")
    forget_draft(draft)
    return written
