"""Text that a stranger wrote, as a type: what cannot be shown is taken out where it is read. Pure."""

from typing import Annotated, Any

from pydantic import AfterValidator

from squire_pipelines.domain.terminal_text import plain


def printable(text: str) -> str:
    """Return the text on one line, without control sequences and what is drawn as nothing; each blank is a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if sign.isspace() else sign for sign in plain(text))


PrintableText = Annotated[str, AfterValidator(printable)]


def plain_texts(value: Any) -> Any:
    """Return a value of JSON each of whose texts is cleaned as `terminal_text.plain` does; names stay as they are."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [plain_texts(part) for part in value]
    if isinstance(value, dict):
        return {name: plain_texts(part) for name, part in value.items()}
    return value
