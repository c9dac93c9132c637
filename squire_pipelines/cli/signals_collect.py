"""`squire signals collect`: read repositories now, and say what was found."""

import click

from squire_pipelines.cli.context import CliContext, json_option, seconds_option, with_context
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ExitCode
from squire_pipelines.terminal.output import write_line


@command(
    "collect",
    examples=(
        "squire signals collect                   # read all repositories of the settings once",
        "squire signals collect acme/api --json   # read one, and write what each source gave",
        "squire signals collect --watch           # read again at each time of the schedule, until Ctrl-C",
    ),
)
@click.argument("repositories", nargs=-1, metavar="[OWNER/REPO]...")
@click.option("--fresh", is_flag=True, help="Read everything, also where a look at GitHub finds nothing new.")
@click.option("--watch", is_flag=True, help="Read again whenever the schedule of the settings would, until Ctrl-C.")
@click.option(
    "--accept-replaced",
    is_flag=True,
    help="Take a repository that has a name now, and another id than before, for the one that is meant. It is audited.",
)
@seconds_option("--timeout", 900, "Wait this long for a reading.")
@json_option
@with_context
def collect(
    context: CliContext,
    repositories: tuple[str, ...],
    timeout: float,
    *,
    fresh: bool,
    watch: bool,
    accept_replaced: bool,
    as_json: bool,
) -> None:
    """Read repositories now, and say how many signals each source has.

    The command uses a running `squire dev` of the same home, or reads in a process of its own. That one plans nothing
    and starts no agent. The exit code is 6 where a source of some repositories does not answer, and 1
    where it is so in all of them.
    """
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - the other commands start sooner
    from squire_pipelines.ledger import repositories as known_repositories  # noqa: PLC0415 - SQLAlchemy
    from squire_pipelines.runtime import reading  # noqa: PLC0415 - imports what the other commands do not need
    from squire_pipelines.settings.named_repositories import repositories_of_cycle  # noqa: PLC0415 - likewise

    hand_on_config(context)
    settings, ledger = context.settings, context.ledger
    unlock_store(context, settings.secret_sources)
    names = repositories_of_cycle(settings, repositories)

    if accept_replaced:
        with ledger.write() as tx:
            for name in known_repositories.accept_replaced(tx, names, actor=actor(), trace_id=new_trace_id()):
                note(f"{name} is taken for the repository that is meant")

    def say(line: str) -> None:
        write_line(line, err=as_json)

    def read_once() -> ExitCode:
        return reading.read(settings, ledger, names, say=say, timeout_s=timeout, as_json=as_json, fresh=fresh)

    raise SystemExit(reading.watch(settings.collection, read_once, say=say) if watch else read_once())
