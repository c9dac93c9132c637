"""What a reader of a change does not see, or sees elsewhere than it stands: characters by their category. Pure.

Allowed is what ordinary text needs, where it needs it: joiners within emoji and within scripts that join letters, a
selector after an emoji, marks of direction beside letters that run from right to left, a mark at a file's beginning.
"""

import re
import unicodedata
from functools import lru_cache

MAX_LINE = 10_000
"""Characters in a line that a person can be expected to look at; reviews fold longer ones away."""

MAX_BLANKS = 200
"""Columns of blanks, or empty lines, before code that a reader would have to scroll to."""

MAX_SELECTORS = 8
"""Selectors of another form of a letter in one line: each can carry a byte that nobody sees."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COLOR = re.compile(r"\x1b\[[0-9;:]*m")  # SGR: colours and weights; no cursor, no title, no link
_COLUMNS = {"\t": 8, "\u3000": 2}
_MANY_BLANKS = re.compile(rf"(?<!\s)\s{{{MAX_BLANKS // 8},}}+(?=\S)")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# England, Scotland and Wales: the one use of the tags' block that is drawn.
_FLAG = re.compile(
    "\U0001f3f4\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|"
    "\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
# Drawn as nothing although their category is that of letters, marks or symbols, or although they are not assigned.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2065\u2800\u2d7f\u3164\ufe00-\ufe0f\uffa0\ufdd0-\ufdef\ufff0-\ufff8"
    "\U0001107f\U00013441\U00013442\U00016fe4\U0001bc9d\U0001d159\U000e0000-\U000e0fff]"
)
_ZWNJ, _ZWJ, _TEXT_STYLE, _EMOJI_STYLE = "\u200c", "\u200d", "\ufe0e", "\ufe0f"
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_KEYCAP = "\u20e3"
_DIRECTION_MARKS = frozenset("\u200e\u200f\u061c")
_NEAR = 40
"""Characters within which a mark of direction has a letter that runs from right to left."""
# Arabic, Syriac, N'Ko, the scripts of India and its neighbours, Tibetan, Myanmar, Khmer, Mongolian, Arabic forms.
_JOINING = re.compile("[\u0600-\u07ff\u0840-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc]")
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
# Emoji that are signs of mathematics or of letters to Unicode; the others are "other symbols".
_OTHER_PICTURES = frozenset(
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194\u25fb\u25fc\u25fd\u25fe\u2934\u2935\u3030\u303d"
)
_FIRST_PICTURE = "\u2190"
_VISIBLE_FORMAT = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")


def is_no_text(line: str) -> bool:
    """Return whether a line has a zero byte, or bytes that are no UTF-8 (lone surrogates)."""
    return _NO_TEXT.search(line) is not None


def is_far_away(line: str) -> bool:
    """Return whether a line has something behind more blanks than fit on a screen."""
    return any(sum(_COLUMNS.get(blank, 1) for blank in match[0]) >= MAX_BLANKS for match in _MANY_BLANKS.finditer(line))


def hidden_character(line: str, *, starts_file: bool = False, may_color: bool = False) -> str | None:
    """Return the first character of a line that hides something, None when there is none.

    Args:
        line: Without its line feed; a carriage return may stand at its end.
        starts_file: Whether it is a file's first line, where a byte order mark may stand.
        may_color: Whether the file keeps what a program is expected to print, where colours are ordinary.
    """
    line = line.removesuffix("\r")
    if starts_file:
        line = line.removeprefix("\ufeff")
    if may_color:
        line = _COLOR.sub("", line)
    for match in _CONTROL.finditer(line):
        is_page_break = match[0] == "\f" and not line[: match.start()].strip()
        if not is_page_break:
            return match[0]
    if line.isascii():
        return None
    line = _FLAG.sub("", line)
    selectors = 0
    for place, sign in enumerate(line):
        selectors += "\U000e0100" <= sign <= "\U000e01ef"
        if selectors > MAX_SELECTORS:
            return sign
        if _is_suspicious(sign) and not _is_in_place(line, place, sign):
            return sign
    return None


@lru_cache(maxsize=4096)
def is_unseen(sign: str) -> bool:
    """Return whether a character is drawn as nothing, or changes others: controls, format, fillers, selectors."""
    return unicodedata.category(sign) in _HIDDEN_CATEGORIES or _FILLERS.match(sign) is not None


def _is_suspicious(sign: str) -> bool:
    return sign >= "\x80" and is_unseen(sign)


def _is_in_place(line: str, place: int, sign: str) -> bool:  # noqa: PLR0911 - one for each kind of character
    """Return whether ordinary text needs this character between its neighbours."""
    before, after = line[place - 1 : place], line[place + 1 : place + 2]
    if sign in {_EMOJI_STYLE, _TEXT_STYLE}:
        return _is_picture(before) or (before != "" and before in "0123456789#*" and after == _KEYCAP)
    if sign == _ZWJ and _is_picture(after) and (_is_picture(before) or before == _EMOJI_STYLE):
        return True
    if sign in {_ZWJ, _ZWNJ}:
        joins = _JOINING.match(before) is not None and unicodedata.category(before)[0] in "LM"
        return joins and not is_unseen(before) and (not after or not after.isascii() or not after.isalnum())
    if sign in _DIRECTION_MARKS:
        return _directs(line, place, before, after)
    if "\u180b" <= sign <= "\u180f":
        return _MONGOLIAN.match(before) is not None
    if "\U000e0100" <= sign <= "\U000e01ef" or "\ufe00" <= sign <= "\ufe02":
        name = unicodedata.name(before, "") if before else ""
        of_mathematics = sign == "\ufe00" and before >= _FIRST_PICTURE and unicodedata.category(before) == "Sm"
        return name.startswith("CJK UNIFIED") or of_mathematics
    if sign == "\u2800":
        return "\u2801" <= before <= "\u28ff" or "\u2801" <= after <= "\u28ff"
    return sign in _VISIBLE_FORMAT


def _directs(line: str, place: int, before: str, after: str) -> bool:
    """Return whether a mark of direction stands alone, within no word of another script, near such a letter."""
    if before in _DIRECTION_MARKS or after in _DIRECTION_MARKS:
        return False
    within_word = before.isalnum() and after.isalnum()
    if within_word and not _runs_left(before) and not _runs_left(after):
        return False
    return any(map(_runs_left, line[max(0, place - _NEAR) : place + _NEAR + 1]))


def _runs_left(sign: str) -> bool:
    return unicodedata.bidirectional(sign) in {"R", "AL"} and sign.isalpha()


def _is_picture(sign: str) -> bool:
    return sign != "" and (
        (sign >= _FIRST_PICTURE and unicodedata.category(sign) == "So" and not is_unseen(sign))
        or sign in _OTHER_PICTURES
        or _SKIN_TONES[0] <= sign <= _SKIN_TONES[1]
    )
