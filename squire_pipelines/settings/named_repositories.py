"""Which repositories a command is about: those that a person names, as the settings spell them."""

from collections.abc import Sequence

from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home, named_config, no_file_hint
from squire_pipelines.settings.model import Settings


def repositories_of_cycle(settings: Settings, named: Sequence[str]) -> tuple[str, ...]:
    """Return the repositories of a cycle as the settings spell them: those named, else all. Raises ConfigError.

    One that the settings do not name is refused: what is read of it would become work at the next cycle.
    """
    file = named_config() or Home.from_environment().config_file
    if not settings.repositories:
        missing, next_step = "", "name them with `squire config set repositories owner/one owner/two`"
        if not file.is_file():
            missing, next_step = ", which does not exist", no_file_hint(file)
        raise ConfigError(f"the settings name no repository: {file}{missing}", hint=next_step)
    try:
        parsed = {name: settings.spelling_of(name) for name in map(parse_repository, named)}
    except ValueError as error:
        raise ConfigError(str(error), hint="for example acme/api") from error
    if unlisted := [name for name, spelling in parsed.items() if spelling is None]:
        raise ConfigError(
            f"{', '.join(unlisted)}: not among the repositories of the settings",
            hint=f"add it to `repositories` in {file}",
        )
    return tuple(dict.fromkeys(filter(None, parsed.values()))) or settings.repositories
