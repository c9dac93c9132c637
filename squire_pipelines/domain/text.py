"""Text of a bounded length. Pure."""


def shorten(text: str, limit: int) -> str:
    """Return the beginning of `text`, at most `limit` characters, with a mark where something is missing."""
    cut_note = "\n… (cut)"
    return text if len(text) <= limit else text[: max(limit - len(cut_note), 0)] + cut_note
