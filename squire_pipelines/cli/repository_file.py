"""Checks a repository's own file, `.github/squire.toml`, for `squire config validate`."""

from pathlib import Path

from squire_pipelines.errors import SettingError
from squire_pipelines.repository_files.parsing import MAX_FILE_BYTES, check_size, parse_repository_file
from squire_pipelines.terminal.output import write_line


def check_local_file(path: Path) -> None:
    """Check a file on this machine and say so. Raises SettingError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        size = path.stat().st_size
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}", hint="check the file's owner and mode"
        ) from error
    check_size(str(path), max(size, len(content)))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{path}, line {line}: it is no text in UTF-8", hint="save the file as UTF-8") from error
    parsed = parse_repository_file(str(path), text.removeprefix("\ufeff"))
    write_line(f"ok: {path}")
    if parsed.settings.extends:
        write_line("What it extends was not read.")
