"""Text that a stranger wrote, as a type: what cannot be shown is taken out where it is read. Pure."""

from typing import Annotated

from pydantic import AfterValidator

from squire_pipelines.domain.hidden import is_unseen


def printable(text: str) -> str:
    """Return the text on one line, without controls, half characters, fillers, selectors and what else is not drawn."""
    if text.isascii() and text.isprintable():
        return text
    signs = (" " if sign.isspace() else sign for sign in text)
    return "".join(sign for sign in signs if sign.isprintable() and not is_unseen(sign))


PrintableText = Annotated[str, AfterValidator(printable)]
