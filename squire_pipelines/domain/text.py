"""Text of a bounded length. Pure."""


def shorten(text: str, limit: int) -> str:
    """Return the beginning of `text`, at most `limit` characters, with a mark where something is missing."""
    mark = "\n… (cut)"
    return text if len(text) <= limit else text[: max(limit - len(mark), 0)] + mark
