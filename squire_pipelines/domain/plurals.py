"""Numbers of things in words. Pure."""


def counted(count: int, noun: str) -> str:
    """Return a number of things: `1 task`, `2 tasks`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
