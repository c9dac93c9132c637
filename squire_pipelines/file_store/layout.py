"""What lies where in a store: attempts, the archive, backups, the published warehouse and report."""

ATTEMPTS = "attempts/"
"""A folder for each attempt, by its id."""

KEEP = "keep"
"""In an attempt's folder: what was kept of its agent's work, as in the folder of this name on the machine."""

CALLS = "gateway"
"""In an attempt's folder: the logs of its gateway's calls, likewise."""

LOG = "agent.log"
TIMES = "agent.log.times"
PUSHING = "pushing"
"""In an attempt's folder: a mark that its work may have been pushed."""

SEGMENTS = "log"
"""In an attempt's folder while its agent runs: pieces of its log, each named by the byte at which it begins."""

DOCTOR = "doctor/"
"""What `squire doctor` writes and removes."""

ARCHIVE = "archive/"
BACKUPS = "backups/"
PUBLISHED = "published/"


def of_attempt(attempt_id: str, name: str = "") -> str:
    """Return the name of a file of an attempt, or what all of them begin with."""
    return f"{ATTEMPTS}{attempt_id}/{name}"


def segment_key(attempt_id: str, start: int) -> str:
    """Return the name of the piece of a log that begins at a byte; names are in the order of their bytes."""
    return of_attempt(attempt_id, f"{SEGMENTS}/{start:015d}")


def start_of(segment: str) -> int:
    """Return the byte at which a piece begins, by its name. Raises ValueError."""
    return int(segment.rpartition("/")[2])
