"""What a command answers that reads or serves several repositories, of which some may be out of reach. Pure."""

from collections.abc import Collection, Sequence

from squire_pipelines.errors import ExitCode


def code_over_repositories(names: Sequence[str], unserved: Collection[str], *, failed: bool = False) -> ExitCode:
    """Return DONE when all went well, PARTLY when some repositories could not be served, else FAILED.

    Args:
        names: The repositories that were asked for.
        unserved: Those of them that could not be used or read whole.
        failed: Whether something went wrong in those that could.
    """
    out_of_reach = sum(name in unserved for name in names)
    if failed or (out_of_reach and out_of_reach == len(names)):
        return ExitCode.FAILED
    return ExitCode.PARTLY if out_of_reach else ExitCode.DONE
