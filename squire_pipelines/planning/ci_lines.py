"""Reads what a CI file runs: the lines below `run`, `script` and the like, whichever service the file is for. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml  # type: ignore[import-untyped] # no stubs are installed

_MAX_EVENTS = 20_000
_MAX_LINES = 2_000
_MAX_DEPTH = 50
"""The library's time grows with the square of it, and no CI file nests as deep."""
_RUN_KEYS = frozenset({"run", "script", "before_script", "command", "commands", "install"})


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is open; `key` is that of the value that comes, and for a list that of the list itself."""

    is_list: bool
    key: str = ""
    is_key_next: bool = True

    def end_value(self) -> None:
        """Go on to what comes after a key or a value."""
        self.is_key_next = not self.is_key_next


def lines_run_by(text: str) -> Iterator[str]:
    """Yield the lines of shell that a YAML file names; none of what cannot be read.

    Its events are read one by one: no alias is followed and nothing is built, so that the time and the memory follow
    the length of the text, whatever it says.
    """
    frames: list[_Frame] = [_Frame(is_list=True)]
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for number, event in enumerate(events):
            if number > _MAX_EVENTS or len(frames) > _MAX_DEPTH:
                return
            frame = frames[-1]
            if isinstance(event, yaml.MappingStartEvent):
                frames.append(_Frame(is_list=False))
            elif isinstance(event, yaml.SequenceStartEvent):
                frames.append(_Frame(is_list=True, key=frame.key))
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                frames.pop()
                frames[-1].end_value()
            elif isinstance(event, yaml.ScalarEvent) and not frame.is_list and frame.is_key_next:
                frame.key = event.value
                frame.end_value()
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                if isinstance(event, yaml.ScalarEvent) and frame.key in _RUN_KEYS:
                    yield from event.value.replace("\\\n", " ").splitlines()[:_MAX_LINES]
                frame.end_value()
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # it is no YAML that can be read: then it names no command
