"""A settings' file that changes, and a clock that stands still: what follows settings, without waiting."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from squire_pipelines.home import Home
from squire_pipelines.reloading.in_force import Clock, SettingsInForce
from squire_pipelines.settings.model import Settings

LONG_AGO = 1_700_000_000
VALID = "[dispatch]\nmax_concurrent = {}\n"
WRONG = "[dispatch]\nmax_concurrent = 0\n"


def write_settled(path: Path, text: str) -> None:
    """Write a file that looks as if nobody had touched it for long; its marks change all the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (LONG_AGO, LONG_AGO))


@dataclass
class SettingsLab:
    """One settings' file in a home, and processes that follow it by one clock."""

    home: Home
    now: float = LONG_AGO + 100.0
    taken: list[Settings] = field(default_factory=list)
    sleeps: int = 0

    @property
    def path(self) -> Path:
        return self.home.config_file

    def write(self, text: str) -> None:
        """Write the file, settled."""
        write_settled(self.path, text)

    def write_now(self, text: str) -> None:
        """Write the file at this moment of the clock."""
        self.path.write_text(text, encoding="utf-8")
        os.utime(self.path, (self.now, self.now))

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.now += seconds

    def start(self, *, is_named: bool = False) -> SettingsInForce:
        """As a process does that starts."""
        clock = Clock(lambda: self.now, lambda: self.now, self.sleep)
        return SettingsInForce(self.path, self.home, is_named=is_named, on_taken=self.taken.append, clock=clock)
