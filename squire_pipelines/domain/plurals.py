"""Numbers of things in words. Pure."""


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """Return a number of things: `1 task`, `2 tasks`; `nouns` where the plural is another."""
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"
