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

PUSHED = "pushed"
"""In an attempt's folder: the task with its history as it was before each head was pushed, named by that head."""

EARLIER = "earlier"
"""In an attempt's folder: files of an attempt of the same name, which a ledger that was restored knows no more."""

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


def of_pushed(attempt_id: str, head_sha: str, decision: str) -> str:
    """Return the name of what was put there before a head was pushed, which the policy has let through so."""
    return of_attempt(attempt_id, f"{PUSHED}/{head_sha}.{decision}.jsonl")


def pushed_of(key: str) -> tuple[str, str] | None:
    """Return the head and the policy's decision of such a name; None for any other name."""
    folder, _, name = key.rpartition("/")
    head_sha, _, decision = name.removesuffix(".jsonl").partition(".")
    return (head_sha, decision) if folder.endswith(f"/{PUSHED}") and head_sha and decision else None


def segment_key(attempt_id: str, start: int) -> str:
    """Return the name of the piece of a log that begins at a byte; names are in the order of their bytes."""
    return of_attempt(attempt_id, f"{SEGMENTS}/{start:015d}")


def start_of(segment: str) -> int:
    """Return the byte at which a piece begins, by its name. Raises ValueError."""
    return int(segment.rpartition("/")[2])
