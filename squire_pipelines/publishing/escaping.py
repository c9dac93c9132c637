"""Writes others' words so that they only are read on GitHub: nobody is notified, nothing is closed or loaded. Pure."""

import re

from squire_pipelines.domain.terminal_text import plain

MAX_TEXT_CHARS = 8_000
_MAX_LINE = 500
# Invisible, and enough to keep GitHub from seeing a mention, a reference or an image.
_BREAK = "\u200b"

_MENTION = re.compile(r"@(?=\S)")
_REFERENCE = re.compile(r"#(?=\d)")
# A character reference becomes its character before GitHub looks for mentions and references.
_ENTITY = re.compile(r"&(?=#|[A-Za-z])")
_GH_REFERENCE = re.compile(r"(?<![A-Za-z0-9_])(GH)-(?=\d)", re.IGNORECASE)
_CLOSING_URL = re.compile(r"\b(clos|fix|resolv)(es|ed|e|ing)?(?=[\s:]{1,20}\[?(?:<|&lt;)?https?://)", re.IGNORECASE)
# Other trackers end an issue by its key, such as ENG-123: https://linear.app/docs/github
_CLOSING_KEY = re.compile(
    r"\b(clos|fix|resolv|complet|implement)(?=[a-z]{0,10}[\s:*(\[<`'\"]{1,20}[a-z][a-z0-9_]{0,20}-\d)", re.IGNORECASE
)
_IMAGE = re.compile(r"!\[")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# A merge may make the pull request's text a commit's message: `[skip ci]` and its kin, and what Azure and GitHub know.
_SKIP = re.compile(
    r"\[(?=[^\[\]\n]{0,40}\b(?:skip|no[ _-]?ci)\b)|\*(?=NO_CI)|\bskip(?=-checks\b)|\bco(?=-authored-by\b)"
    r"|\bsigned(?=-off-by\b)",
    re.IGNORECASE,
)

_TRAILER = re.compile(r"^([ \t]{0,20}[a-z]{1,30})(?=(?:-[a-z]{1,30}){1,5}[ \t]{0,20}:)", re.IGNORECASE | re.MULTILINE)


# What a title says in place of that, since it becomes the first line of a commit and shall hide nothing itself.
_TITLE_SKIP = re.compile(r"\[([^\[\]\n]{0,40}\b(?:skip|no[ _-]?ci)\b[^\[\]\n]{0,40})\]", re.IGNORECASE)
_ENDS_AN_ISSUE = re.compile(r"\b(?:clos|fix|resolv|complet|implement)", re.IGNORECASE)
_KEY = re.compile(r"(?<![A-Za-z0-9_])([A-Z][A-Z0-9_]{0,20})-(?=\d)", re.IGNORECASE)
"""An issue's name in trackers that read titles and commits, such as `ENG-123`."""
_TITLE_NUMBER = re.compile(r"(?<=(\w))#(?=\d)|(?<!\w)#(?=\d)")
_TITLE_WORDS = re.compile(r"\b(skip)-(?=checks\b)|\b(co)-(?=authored-by\b)|\b(signed)-(?=off-by\b)", re.IGNORECASE)
_TITLE_SIGNS = re.compile(r"@(?=\S)|!(?=\[)|\*(?=NO_CI)|(?<=NO_CI)\*{1,3}|https?://", re.IGNORECASE)


def escape_markdown(text: str, *, limit: int = MAX_TEXT_CHARS) -> str:
    """Return `text` as Markdown that only is read: it notifies nobody, closes no issue, skips no check, loads no image.

    Mentions, references, closing keywords, trailers and `[skip ci]` are broken by an invisible character, tags and
    comments are escaped, control sequences and what is drawn as nothing are left out, and at most
    `limit` characters stay.
    """
    kept = plain(text)
    if len(kept) > limit:
        kept = kept[: limit - 1] + "…"
    kept = _TAG.sub("&lt;", _ENTITY.sub("&amp;", kept))
    kept = _IMAGE.sub(f"!{_BREAK}[", kept)
    kept = _SKIP.sub(rf"\g<0>{_BREAK}", kept)
    kept = _TRAILER.sub(rf"\1{_BREAK}", kept)
    kept = _CLOSING_URL.sub(rf"\1{_BREAK}\2", kept)
    kept = _CLOSING_KEY.sub(rf"\1{_BREAK}", kept)
    kept = _MENTION.sub(f"@{_BREAK}", kept)
    kept = _GH_REFERENCE.sub(rf"\1{_BREAK}-", kept)
    return _REFERENCE.sub(f"#{_BREAK}", kept)


def one_line(text: str, *, limit: int = _MAX_LINE) -> str:
    """Return `text` as `escape_markdown` does, in one line."""
    return escape_markdown(" ".join(text.split()), limit=limit)


def code(text: str) -> str:
    """Return a path or name as inline code; backticks cannot end it early."""
    return "`" + one_line(text).replace("`", "'") + "`"


def quote(text: str, *, limit: int = MAX_TEXT_CHARS) -> str:
    """Return `text` as a quotation, which no line of it can leave."""
    return "\n".join(f"> {line}".rstrip() for line in escape_markdown(text, limit=limit).strip().splitlines())


def web_link(url: str) -> str:
    """Return a link's target that cannot end the link; anything but http(s) is dropped."""
    target = re.sub(r"[\s()<>\\]", "", url)
    return target if target.startswith(("https://", "http://")) else ""


def without_keys(text: str) -> str:
    """Return a line that names no issue of another tracker by its key where it has a word that would end one."""
    return _KEY.sub(r"\1 ", text) if _ENDS_AN_ISSUE.search(text) else text


def plain_title(text: str, *, limit: int) -> str:
    """Return `text` as a title of one line that works nothing, and in which nothing is invisible.

    A merge makes the title the first line of a commit's message. So the signs of mentions and references, the schemes
    of links and the brackets of `[skip ci]` are left out or replaced by what people read alike.
    """
    kept, before = " ".join(plain(text).split())[: 4 * limit], None
    while kept != before:  # what is left out may join two parts to another such sign; each round makes it shorter
        before = kept
        kept = _TITLE_SIGNS.sub("", kept)
    kept = _TITLE_NUMBER.sub(lambda match: " no. " if match[1] else "no. ", kept)
    kept = _TITLE_SKIP.sub(r"(\1)", kept)
    kept = _SKIP.sub(lambda match: match[0].replace("[", "("), kept)
    kept = _TITLE_WORDS.sub(lambda match: f"{match[1] or match[2] or match[3]} ", kept)
    kept = _GH_REFERENCE.sub(r"\1 ", kept)
    kept = without_keys(kept)
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"
