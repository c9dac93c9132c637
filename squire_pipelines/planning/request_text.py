"""What a person writes as a request, made fit to be one: its text, and its title. Pure."""

import unicodedata

from squire_pipelines.domain.terminal_text import plain, without_sequences
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS, MAX_TITLE_CHARS, title_from

NO_UTF8 = "the text is no UTF-8: write it as UTF-8, or convert it with `iconv`"


def request_text(words: str) -> str:
    """Return a request's text without what is no writing: a terminal's control sequences, and empty lines around it.

    Raises:
        ValueError: It is empty, too long, or no UTF-8, of which Python makes half characters.
    """
    try:
        words.encode()
    except UnicodeError:
        raise ValueError(NO_UTF8) from None
    text = _as_written(words)
    return _checked(text if plain(text).strip() else "", "text", MAX_TEXT_CHARS)


def request_title(title: str | None, text: str) -> str:
    """Return the title, or else the text's first line, cut. Raises ValueError for one that is empty or too long."""
    if title is not None:
        return _checked(" ".join(plain(title).split()), "title", MAX_TITLE_CHARS)
    return title_from(text)


def _checked(text: str, noun: str, most: int) -> str:
    if not text:
        raise ValueError(f"the {noun} is empty")
    if len(text) > most:
        raise ValueError(f"the {noun} has more than {most} characters")
    return text


def _as_written(text: str) -> str:
    text = without_sequences(text.replace("\r\n", "\n"))
    no_writing = {char for char in set(text) if unicodedata.category(char) == "Cc" and char not in "\n\t"}
    lines = text.translate(dict.fromkeys(map(ord, no_writing))).split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    return "\n".join(lines).rstrip()
