"""Reads a file of text that the settings name, within a bound and without waiting for a pipe."""

from pathlib import Path

from squire_pipelines.files import open_regular


def read_text_file(path: Path, *, max_bytes: int) -> str | None:
    """Return a file's text without blanks around it; None where there is no file.

    Raises:
        ValueError: It cannot be used; the message goes on after the file's name.
    """
    try:
        with open_regular(path) as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff").strip()
    except UnicodeDecodeError as error:
        raise ValueError("it is no UTF-8") from error
    if "\0" in text:
        raise ValueError("it is no text: it has a NUL, as files have that are no UTF-8")
    if not text:
        raise ValueError("it is empty")
    return text
