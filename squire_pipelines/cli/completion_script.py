"""`squire completion`: the script by which a shell completes `squire`."""

import click
from click.shell_completion import get_completion_class

from squire_pipelines.cli.completion import VARIABLE
from squire_pipelines.cli.lazy import command
from squire_pipelines.terminal.output import write_exactly

_HOW = {
    "bash": """\
# For this shell:   eval "$(squire completion bash)"
# For all others:   squire completion bash > ~/.local/share/bash-completion/completions/squire
#                   or, without the package bash-completion, the line above in ~/.bashrc
""",
    "zsh": """\
# For this shell:   eval "$(squire completion zsh)"      (after compinit)
# For all others:   squire completion zsh > "${fpath[1]}/_squire"      in a folder of $fpath that you may write
""",
    "fish": """\
# For this shell:   squire completion fish | source
# For all others:   squire completion fish > ~/.config/fish/completions/squire.fish
""",
}


@command(
    "completion",
    examples=(
        'eval "$(squire completion bash)"',
        "squire completion bash > ~/.local/share/bash-completion/completions/squire",
        'squire completion zsh > "${fpath[1]}/_squire"',
        "squire completion fish > ~/.config/fish/completions/squire.fish",
    ),
)
@click.argument("shell", type=click.Choice(list(_HOW)))
def completion(shell: str) -> None:
    """Print the script by which bash, zsh or fish completes `squire`; its first lines say where it goes.

    Commands, options and their values are completed, and what is there now: ids of tasks in the state that the command
    takes (`approve`: proposed ones, `retry`: ended ones), plans, schedules, repositories, agents, templates, keys of
    settings. The newest hundred are offered, of a ledger in SQLite. Nothing is written, and nobody is asked.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known to click")
    script = kind(click.get_current_context().find_root().command, {}, "squire", VARIABLE)
    text = script.source_template % script.source_vars()
    if shell == "zsh":  # whose first line has to be `#compdef squire`
        first, _, rest = text.partition("\n")
        write_exactly(f"{first}\n{_HOW[shell]}{rest}")
    else:
        write_exactly(_HOW[shell] + text)
