"""Text that a stranger wrote, as a type: what cannot be shown is taken out where it is read. Pure."""

from typing import Annotated

from pydantic import AfterValidator

from squire_pipelines.domain.terminal_text import plain


def printable(text: str) -> str:
    """Return the text on one line, without control sequences and what is drawn as nothing; each blank is a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if sign.isspace() else sign for sign in plain(text))


PrintableText = Annotated[str, AfterValidator(printable)]
