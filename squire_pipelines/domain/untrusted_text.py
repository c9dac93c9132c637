"""Text that a stranger wrote, as a type: what cannot be shown is taken out where it is read. Pure."""

from typing import Annotated

from pydantic import AfterValidator


def printable(text: str) -> str:
    """Return the text on one line, without controls, half characters and what else has no glyph."""
    if text.isprintable():
        return text
    return "".join(sign for sign in (" " if sign.isspace() else sign for sign in text) if sign.isprintable())


PrintableText = Annotated[str, AfterValidator(printable)]
