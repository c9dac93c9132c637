"""Reading one secret from a file that holds nothing else: one of the user's, or one that an orchestrator mounts."""

import os
import stat
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.secret import Secret

MAX_SECRET_BYTES = 64 * 1024


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
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
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
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(
            f"the secret {origin} is longer than {MAX_SECRET_BYTES} bytes",
            hint="is it the right file?",
            context={"secret": name},
        )
    try:
        value = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the secret {origin} is no text", hint="is it the right file?", context={"secret": name}
        ) from error
    return Secret(value, name=name, origin=origin) if value else None
