"""People's Markdown as HTML for the forge's pages, with a few elements of HTML rebuilt and all others shown as text."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_CHARACTERS = 65_536
"""GitHub's limit of a body. What is longer is shown as it was written, up to `MAX_SHOWN`."""

MAX_SHOWN = 500_000

# What GitHub folds and hides in bodies, Squire's too. A comment without an end reaches to the end of its block.
_KNOWN_HTML = re.compile(r"<!--.*?(?:-->|\Z)|(</?(?:details|summary)>|<br ?/?>)", re.DOTALL | re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)
# The parser looks for the end of each bracket: 65,000 of them take it 12 seconds, these a tenth of one.
_MAX_BRACKETS = 5_000
_LOWEST_HEADING = 6
_PAGE_HEADINGS = 2


class _PageMarkdown(MarkdownIt):
    """Markdown with tables, in which links lead to the web or to pages here, and nowhere else."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - markdown-it's name
        return _WEB.match(url) is not None or _SCHEME.match(url) is None


def _html(_: object, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    """Return the known elements in lower case, without attributes, and everything else as text."""
    content, end = tokens[place].content, 0
    parts: list[str] = []
    for known in _KNOWN_HTML.finditer(content):
        parts += [escape(content[end : known.start()]), (known[1] or "").lower()]
        end = known.end()
    return "".join((*parts, escape(content[end:])))


def _image(_: object, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    """Return what an image shows in words: the page asks no other host for it."""
    return f"[{escape(tokens[place].content or 'image')}]"


def _make_markdown() -> MarkdownIt:
    markdown = _PageMarkdown("js-default", {"html": True, "linkify": False, "typographer": False})
    markdown.add_render_rule("html_block", _html)
    markdown.add_render_rule("html_inline", _html)
    markdown.add_render_rule("image", _image)
    return markdown


_MARKDOWN = _make_markdown()


def rendered(text: str) -> str:
    """Return the HTML of a text in Markdown. Its headings stand below those of the page."""
    if len(text) > MAX_CHARACTERS or text.count("[") > _MAX_BRACKETS:
        cut = "\n… cut" if len(text) > MAX_SHOWN else ""
        return f"<pre>{escape(text[:MAX_SHOWN])}{cut}</pre>"
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1:]) + _PAGE_HEADINGS, _LOWEST_HEADING)}"
        token.attrs.pop("style", None)  # how a column is aligned: the pages' policy refuses styles in the text
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))
