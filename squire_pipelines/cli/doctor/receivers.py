"""The check of the receivers of all machines: whether each takes what GitHub signs."""

from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis

_STEP = (
    "there `squire secrets set webhook-secret-old` with the one that it has, then `squire secrets set webhook-secret` "
    "with that of the others; a secret of a variable takes a restart"
)


def check_receivers(context: CliContext) -> Iterator[Diagnosis]:
    """Check that all receivers of a ledger on Postgres have the same secrets."""
    if context.settings.ledger_file is not None or not context.has_ledger:
        return
    from squire_pipelines.domain.server_processes import ServerKind, secret_differences  # noqa: PLC0415 - seldom needed
    from squire_pipelines.ledger import server_processes  # noqa: PLC0415 - likewise

    with context.ledger.read() as tx:
        known = server_processes.read_all(tx)
    differences = list(secret_differences(known))
    for difference in differences:
        yield Diagnosis("receivers", "fail", difference.text, _STEP)
    living = [one.place for one in known if one.kind is ServerKind.RECEIVER and not one.is_gone]
    if living and not differences:
        yield Diagnosis("receivers", "ok", f"{len(living)} live, with the same secrets: {', '.join(living)}")
