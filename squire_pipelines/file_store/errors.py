"""The errors of stores of files, a branch of the tree in `squire_pipelines.errors`.

FileStoreError             the store of files answers what it should not
├── StoreUnreachableError  it does not answer, or not in time             retryable, exit 4
├── StoreDeniedError       it does not accept our credentials             exit 3
├── StoreClockError        its clock and this machine's are too far apart exit 3
├── StoreMissingError      its bucket or folder is not there              exit 3
├── StoreFullError         it takes no more
├── StoredFileMissingError it has no file of this name
├── StoredFileTakenError   it has another content under the same name
├── StoredFileLargeError   a file is larger than the bound
└── StoredFileDamagedError what came is not what was put                 retryable
"""

from squire_pipelines.errors import ExitCode, SquireError


class FileStoreError(SquireError):
    """The store of files answers what it should not."""

    code = "file_store"


class StoreUnreachableError(FileStoreError):
    """The store does not answer, or not in time."""

    code = "store_unreachable"
    retryable = True
    exit_code = ExitCode.NOT_REACHABLE


class StoreDeniedError(FileStoreError):
    """The store does not accept our credentials, or they may not do this."""

    code = "store_denied"
    exit_code = ExitCode.CONFIGURATION


class StoreClockError(FileStoreError):
    """The store's clock and this machine's are too far apart for what we sign to be accepted."""

    code = "store_clock"
    exit_code = ExitCode.CONFIGURATION


class StoreMissingError(FileStoreError):
    """The store's bucket or folder is not there."""

    code = "store_missing"
    exit_code = ExitCode.CONFIGURATION


class StoreFullError(FileStoreError):
    """The store takes no more."""

    code = "store_full"


class StoredFileMissingError(FileStoreError):
    """The store has no file of this name."""

    code = "stored_file_missing"


class StoredFileTakenError(FileStoreError):
    """The store has another content under the same name; nothing was changed."""

    code = "stored_file_taken"


class StoredFileLargeError(FileStoreError):
    """A file is larger than the bound."""

    code = "stored_file_large"


class StoredFileDamagedError(FileStoreError):
    """What came from the store, or what it says that it has, is not what was put."""

    code = "stored_file_damaged"
    retryable = True
