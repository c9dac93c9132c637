"""What the errors of fsspec's libraries mean, as errors of ours with the next step. No library is imported here."""

import errno
from collections.abc import Iterator

from squire_pipelines.file_store.errors import (
    FileStoreError,
    StoreClockError,
    StoreDeniedError,
    StoredFileDamagedError,
    StoredFileLargeError,
    StoredFileMissingError,
    StoreFullError,
    StoreMissingError,
    StoreUnreachableError,
)

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and MinIO's own for what is full.
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_DENIED = frozenset(
    {
        *(
            "AccessDenied",
            "AccountProblem",
            "AllAccessDisabled",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidSecurity",
        ),
        *("InvalidToken", "NotSignedUp", "SignatureDoesNotMatch", "TokenRefreshRequired", "401", "403"),
    }
)
_MISSING = frozenset(
    {"NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
)
_GONE = frozenset({"NoSuchKey", "404"})
_FULL = frozenset(
    {
        *("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507"),
        "TooManyBuckets",
    }
)
_LARGE = frozenset({"EntityTooLarge", "413"})
_DAMAGED = frozenset({"BadDigest", "IncompleteBody", "InvalidDigest", "XAmzContentSHA256Mismatch"})
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "RefreshError"})
_MAX_WORDS = 300

_CREDENTIALS_STEP = (
    "check the secrets files-key-id and files-key, else what the cloud's own chain finds (environment, profile, role), "
    "and that they may read, write, list and remove below files.url"
)

_GONE_STEP = "it may have been removed meanwhile, by its retention"

# The first that fits counts.
_MEANINGS: tuple[tuple[frozenset[str], type[FileStoreError], str], ...] = (
    (
        _CLOCK,
        StoreClockError,
        "set this machine's clock by NTP: stores refuse what is signed five minutes or more before or after",
    ),
    (_MISSING, StoreMissingError, "make the bucket, or check files.url, files.endpoint_url and AWS_REGION"),
    # Before what is denied: a quota is refused with 403.
    (_FULL, StoreFullError, "raise the bucket's quota or make room; what is there already stays"),
    (_DENIED | _NO_CREDENTIALS, StoreDeniedError, _CREDENTIALS_STEP),
    (_LARGE, StoredFileLargeError, "lower files.max_object, or raise what the store takes"),
    (_GONE, StoredFileMissingError, _GONE_STEP),
    (_DAMAGED, StoredFileDamagedError, "something between here and the store changes or cuts requests"),
)


def explain(error: Exception, place: str) -> FileStoreError:
    """Return what an error of a store's library means.

    Args:
        error: As it was raised.
        place: The store, as people may see it.
    """
    words = f"the store {place}: {_words(error)}"
    seen = {*_names_of(error), *_codes_of(error)}
    for codes, kind, step in _MEANINGS:
        if seen & codes:
            return kind(words, hint=step)
    return _of_the_system(error, words)


def _of_the_system(error: Exception, words: str) -> FileStoreError:
    if isinstance(error, PermissionError):
        return StoreDeniedError(words, hint=_CREDENTIALS_STEP)
    if isinstance(error, FileNotFoundError):
        return StoredFileMissingError(words, hint=_GONE_STEP)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreFullError(words, hint="free some space on this machine's disk or there")
    return StoreUnreachableError(words, hint="check files.url, files.endpoint_url and the network; it is tried again")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(5):  # libraries wrap errors once or twice
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _codes_of(error: Exception) -> Iterator[str]:
    """Yield the codes of an answer that is an error, as botocore keeps them."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            yield code
            if not code or code.isdecimal():  # HEAD has no body that says more
                yield str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            return


def _names_of(error: Exception) -> set[str]:
    return {type(one).__name__ for one in _chain(error)}


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:_MAX_WORDS]
