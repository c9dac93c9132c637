"""A repository on another machine: which URLs are allowed, and how git gets the token."""

import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from squire_pipelines.errors import ConfigError
from squire_pipelines.files import write_atomically
from squire_pipelines.secrets import Secret

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository to fetch from or push to: its URL without credentials, the one protocol allowed, and the token."""

    url: str
    protocol: str
    token: Secret | None = None

    @classmethod
    def parse(cls, url: str, token: Secret | None = None) -> "Remote":
        """Check a URL: `https`, `http` to this machine only, or the absolute path of a repository on this machine.

        Raises:
            ConfigError: Another protocol, plain HTTP to another machine, or credentials within the URL.
        """
        if url.startswith("/"):
            return cls(url, "file", None)
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ConfigError(
                f"the URL of the repository on {parts.hostname} carries credentials",
                hint="leave them out; the token is kept as the secret github-token",
            )
        if parts.scheme == "file" and not parts.hostname:
            return cls(url, "file", None)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return cls(url, parts.scheme, token)
        raise ConfigError(
            f"{url!r} cannot be used as a repository's URL", hint="use https://; http:// is for this machine only"
        )

    @contextlib.contextmanager
    def credentials(self) -> Iterator[tuple[str, ...]]:
        """Keep the token in a private file until the block ends, and yield the git settings that name the file.

        Command lines and environments are seen by other processes of the machine, a URL ends in git's messages.
        """
        if self.token is None:
            yield ()
            return
        parts = urlsplit(self.url)
        with tempfile.TemporaryDirectory(prefix="squire-git-", ignore_cleanup_errors=True) as folder:  # mode 0700
            store = Path(folder) / "credentials"
            line = f"{parts.scheme}://x-access-token:{quote(self.token.reveal(), safe='')}@{parts.netloc}\n"
            write_atomically(store, line.encode(), durable=False)
            yield (f"credential.helper=store --file={shlex.quote(str(store))}",)
