"""The old product's commands: each runs its new name and shows that name on standard error."""

import click

from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import CONTEXT_SETTINGS, LazyGroup

_RAW = {**CONTEXT_SETTINGS, "ignore_unknown_options": True, "help_option_names": []}

OLD_NAMES = {
    "new": ("tasks", "new"),
    "start": ("tasks", "start"),
    "stop": ("tasks", "cancel"),
    "list": ("tasks", "list"),
    "retry": ("tasks", "retry"),
    "followup": ("tasks", "followup"),
    "ps": ("tasks", "list", "--status", "running"),
    "watch": ("tasks", "watch"),
    "clean": ("tasks", "clean"),
    "steward run": ("run",),
    "steward watch": ("dev",),
    "steward status": ("signals", "collections"),
    "steward signals": ("signals", "list"),
    "steward tasks": ("tasks", "list"),
}


def _alias(old: str) -> click.Command:
    target = OLD_NAMES[old]

    def run(args: tuple[str, ...]) -> None:
        note(f"`squire {old}` is now `squire {' '.join(target)}`")
        root = click.get_current_context().find_root()
        options = ["--config", str(root.params["config"])] if root.params.get("config") else []
        options += ["--verbose"] if root.params.get("verbose") else []
        root.command.main([*options, *target, *args], prog_name="squire", standalone_mode=True)

    argument = click.Argument(["args"], nargs=-1, type=click.UNPROCESSED)
    text = f"Run `squire {' '.join(target)}`, whose old name this is."
    name = old.rpartition(" ")[2]
    return click.Command(
        name, params=[argument], callback=run, help=text, context_settings=_RAW, add_help_option=False, hidden=True
    )


new, start, stop, retry, ps, watch, clean, followup = (
    _alias(name) for name in ("new", "start", "stop", "retry", "ps", "watch", "clean", "followup")
)
list_ = _alias("list")

steward = LazyGroup(name="steward", help="Run the old commands run, watch, status, signals and tasks.", hidden=True)
for _old in OLD_NAMES:
    if _old.startswith("steward "):
        steward.add_command(_alias(_old))
