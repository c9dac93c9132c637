"""Reading one secret from a file that holds nothing else: one of the user's, or one that an orchestrator mounts."""

import errno
import os
import stat
import unicodedata
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.secret import Secret

MAX_SECRET_BYTES = 64 * 1024


def may_exist(path: Path) -> bool:
    """Return whether something is at a path, or nobody here may know, so that reading it tells why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_secret_file(path: Path, name: str, *, private: bool = False) -> Secret | None:
    """Return the secret in a file; None when the file is not there or empty.

    Args:
        path: The file.
        name: Of the secret.
        private: Whether others may not read it either. Orchestrators mount secrets readable for all within the
            container (0444), so that of theirs only writing is refused.

    Raises:
        ConfigError: Others may read or write it, or it cannot be read, or it is no text of at most 64 KiB.
    """
    try:
        # A pipe is not waited for: it may have no writer, and a second reading would get nothing. Orchestrators mount
        # links, which are followed.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")  # noqa: TRY301 - one message for what cannot be read
            forbidden = stat.S_IRWXG | stat.S_IRWXO if private else stat.S_IWOTH
            if status.st_mode & forbidden:
                raise ConfigError(
                    f"the secret file {path} can be {'read' if private else 'written'} by others",
                    hint=f"chmod 600 {path}",
                    context={"secret": name},
                )
            data = file.read(MAX_SECRET_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"the secret file {path} cannot be read: {error.strerror}",
            hint="check its owner and mode",
            context={"secret": name},
        ) from error
    return secret_of(data, name, origin=f"file {path}")


def secret_of(data: bytes, name: str, *, origin: str) -> Secret | None:
    """Return the secret in what was read of `origin`; None when it is empty. Raises ConfigError when it can be none."""
    value = secret_text(data, origin)
    return Secret(value, name=name, origin=origin) if value else None


def secret_text(data: bytes, place: str) -> str:
    """Return what was read as the text of a secret, without space around it.

    Args:
        data: What was read.
        place: Where from, for messages.

    Raises:
        ConfigError: It is longer than 64 KiB, or no text.
    """
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(
            f"the secret from the {place} is longer than {MAX_SECRET_BYTES} bytes", hint="is it the right one?"
        )
    try:
        return data.decode("utf-8-sig").strip()  # editors of Windows put a mark first, which is none of it
    except UnicodeDecodeError as error:
        raise ConfigError(f"the secret from the {place} is no text in UTF-8", hint="is it the right one?") from error


def has_control_characters(value: str) -> bool:
    """Return whether a text has what no service gives in a secret: NUL, escapes, half characters; lines are fine."""
    return any(unicodedata.category(one) in {"Cc", "Cs"} and one not in "\n\r\t" for one in value)
