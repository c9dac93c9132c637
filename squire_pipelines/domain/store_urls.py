"""The URLs of stores of files: which there are, how one is shown, and the names of the files in a store."""

import re
from types import MappingProxyType
from urllib.parse import urlsplit

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
"""The schemes of stores where an object is seen whole or not at all, and an upload replaces the one before."""

EXTRAS = MappingProxyType({"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"})
"""What has to be installed for some of them: an extra of this package."""

MAX_KEY = 700
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+-]{0,199}", re.ASCII)
_EXAMPLE = "a store's URL looks like file:///mnt/shared/squire or s3://bucket/prefix"


def check_store_url(text: str) -> str:
    """Return a store's URL without what is at its end; an empty one stands for none.

    Raises:
        ValueError: There is no such store, or the URL has more than a place in it. The text is not repeated.
    """
    if not text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_EXAMPLE) from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{_EXAMPLE}, without credentials, query and fragment in it")
    if parts.scheme == "file":
        if parts.netloc or not text.startswith("file:///") or not parts.path.strip("/"):
            raise ValueError(f"{_EXAMPLE}: a folder, written from the root")
    elif parts.scheme not in OBJECT_STORES or "://" not in text or not parts.netloc:
        raise ValueError(f"{_EXAMPLE}; there are file, {', '.join(sorted(OBJECT_STORES))}")
    return text.rstrip("/")


def shown_url(text: str) -> str:
    """Return a URL as people may see it: without credentials and query."""
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def is_key(text: str) -> bool:
    """Return whether a text can be the name of a file in a store: others may have put more there."""
    return len(text) <= MAX_KEY and all(_PART.fullmatch(part) for part in text.split("/"))


def check_key(key: str) -> str:
    """Return the name of a file in a store: parts with slashes between them. Raises ValueError for what is none."""
    if not is_key(key):
        raise ValueError(f"no name of a file in a store: {key[:100]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """Return what names in a store begin with: parts, each with a slash after it, or nothing. Raises ValueError."""
    if not prefix:
        return prefix
    if not prefix.endswith("/"):
        raise ValueError(f"no folder of a store: {prefix[:100]!r}")
    return f"{check_key(prefix[:-1])}/"
