"""Whether two texts ask for nearly the same work, by their words. Pure; why so: docs/decisions/0057-near-duplicates.md.

The measure is how much of each title the other's text covers. Two titles of one template may share almost all of their
words and ask for different things, so that what tells them apart counts more than what they share: other versions,
other files, opposites, and a word on each side for which the other has none. It knows English alone: of other
languages it takes equal words for equal and nothing more.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz import fuzz, process

from squire_pipelines.domain.work_words import (
    EXCLUSIVE,
    FIRST_OF_SYNONYMS,
    GENERIC,
    KINDS_OF_WORK,
    OPPOSITES,
    POLAR,
    SILENT,
    stem_of,
)

COVERED = 0.70
"""Of the words of both titles, on average, so much is in the other's text, title and body together."""

TITLES = 0.40
"""Of the words of both titles, on average, so much is in the other's title. A long body has any word somewhere."""

SAME_TEMPLATE = 0.70
"""Titles that share so much are of one template: one word that each has alone is then what they differ in."""

_MAX_TITLE_CHARS = 300
_MAX_BODY_CHARS = 4_000
_MAX_BODY_WORDS = 150
_SPELLING = 80
"""Two words of five letters or more are one word in two spellings from this ratio on: 100 times twice the letters in
common, by the letters of both. Of words in other scripts one letter may be all that differs, and whole sentences of
some are one word: these are compared as they are."""

_MIN_SPELLED = 5
_GENERIC_WEIGHT = 0.35
_PREFIX = re.compile(
    r"^(?:(?:resolve|fix(?:es)?|closes?) #\d+:?\s*|deal with:\s*|"
    r"(?:feat|fix|chore|docs|refactor|perf|test|security|build|ci)(?:\([^()]{0,40}\))?!?:\s*)",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"\(#\d{1,9}\)$")
_FROM_VERSION = re.compile(r"\bfrom v?\d[\d.]{0,20} (?=to\b)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.#])v?(\d+(?:\.\d+)*(?:\.x)?)(?!\w)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)*")
_AS_WRITTEN = re.compile(r"[\w']+")
_CODE = re.compile(r"[a-z][A-Z]|\w\.[^\W\d]|[_/]|^--\w|^[A-Za-z]+-?\d")
_REFUSAL = re.compile(r"(?:do not|don't|never|stop|avoid)\b", re.IGNORECASE)
_OPPOSING = ("un", "dis", "non", "de")
_PUNCTUATION = "`'\"()[]{}<>,;:!?."


@dataclass(frozen=True)
class WorkText:
    """What some work is, in words: its title, and the text below it."""

    title: str
    body: str = ""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The stems of the title's words that mean something, each once."""
        return tuple(dict.fromkeys(_stems(self.bare_title)))

    @cached_property
    def all_words(self) -> frozenset[str]:
        """The stems of the title's words and of the first of the body's."""
        return frozenset((*self.words, *_stems(self.body[:_MAX_BODY_CHARS])[:_MAX_BODY_WORDS]))

    @cached_property
    def bare_title(self) -> str:
        """The title without what templates and conventions put around it."""
        title = _SUFFIX.sub("", self.title[:_MAX_TITLE_CHARS].strip())
        return _FROM_VERSION.sub("", _PREFIX.sub("", title))

    @cached_property
    def raw_words(self) -> frozenset[str]:
        """The title's words as they are written, in lower case."""
        return frozenset(_AS_WRITTEN.findall(self.bare_title.casefold()))

    @cached_property
    def raw_stems(self) -> frozenset[str]:
        """The stems of these."""
        return frozenset(map(stem_of, self.raw_words))

    @cached_property
    def text(self) -> str:
        """Both texts in lower case."""
        return f"{self.bare_title} {self.body[:_MAX_BODY_CHARS]}".casefold()

    @cached_property
    def text_stems(self) -> frozenset[str]:
        """The stems of all words of both."""
        return frozenset(map(stem_of, _AS_WRITTEN.findall(self.text)))

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """The names from code in the title: paths, options, functions, numbers of errors."""
        words = (word.strip(_PUNCTUATION) for word in self.bare_title.split())
        names = (word.strip("/-()").casefold() for word in words if _CODE.search(word))
        return frozenset(name for name in names if len(name) > 1 and not name[0].isdigit())

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The numbers and versions in the title."""
        return frozenset(_NUMBER.findall(self.bare_title.casefold()))


def similarity(first: WorkText, second: WorkText) -> float:
    """Return how much of both titles the other's text covers, from 0 to 1; 0 where something tells them apart."""
    if first.text == second.text:
        return 1.0 if first.text.strip() else 0.0
    titles = (_covered(first.words, second.words) + _covered(second.words, first.words)) / 2
    if titles < TITLES or not _shares_a_distinctive_word(first, second):
        return 0.0
    if any(_differences(first, second, titles)):
        return 0.0
    return (_covered(first.words, second.all_words) + _covered(second.words, first.all_words)) / 2


def is_same_work(first: WorkText, second: WorkText) -> bool:
    """Return whether two texts ask for nearly the same work."""
    return similarity(first, second) >= COVERED


def _stems(text: str) -> tuple[str, ...]:
    words = _WORD.findall(_CAMEL.sub(" ", text.replace("_", " ")).replace("'s ", " ").casefold())
    stems = (stem_of(word) for word in words if word not in SILENT)
    return tuple(FIRST_OF_SYNONYMS.get(stem, stem) for stem in stems)


def _weight(stem: str) -> float:
    return _GENERIC_WEIGHT if stem in GENERIC else 1.0


def _has(stem: str, others: Collection[str]) -> bool:
    """Return whether a word is among others, in this or in another spelling."""
    if stem in others:
        return True
    if len(stem) < _MIN_SPELLED or not stem.isascii():
        return False
    return process.extractOne(stem, others, scorer=fuzz.ratio, score_cutoff=_SPELLING) is not None


def _covered(words: Collection[str], others: Collection[str]) -> float:
    whole = sum(map(_weight, words))
    return sum(_weight(word) for word in words if _has(word, others)) / whole if whole else 0.0


def _shares_a_distinctive_word(first: WorkText, second: WorkText) -> bool:
    return any(word not in GENERIC and _has(word, second.words) for word in first.words)


def _differences(first: WorkText, second: WorkText, titles: float) -> Iterator[bool]:
    """Yield for each rule whether it tells two works apart whose titles share `titles` of their words."""
    yield _other_numbers(first.numbers, second.numbers)
    yield _other_names(first, second)
    for group in EXCLUSIVE:
        left, right = first.raw_words & group, second.raw_words & group
        yield bool(left and right and left.isdisjoint(right))
    for one, other in OPPOSITES:
        yield _is_opposite(first.raw_stems, second.raw_stems, one, other)
    yield _has_opposite_by_prefix(first.raw_stems, second.raw_stems)
    yield _has_opposite_by_prefix(second.raw_stems, first.raw_stems)
    yield bool(_REFUSAL.match(first.bare_title)) != bool(_REFUSAL.match(second.bare_title))
    for kind in KINDS_OF_WORK:
        yield bool(first.raw_stems & kind) and not second.text_stems & kind
        yield bool(second.raw_stems & kind) and not first.text_stems & kind
    if titles >= SAME_TEMPLATE:
        yield first.raw_words.isdisjoint(POLAR) != second.raw_words.isdisjoint(POLAR)
        yield _has_word_of_its_own(first, second) and _has_word_of_its_own(second, first)


def _other_numbers(left: Collection[str], right: Collection[str]) -> bool:
    """Return whether both name numbers and none in common; 2.32 and 2.32.0 are one."""
    if not left or not right:
        return False
    pairs = ((f"{one}.", f"{other}.") for one in left for other in right)
    return not any(one.startswith(other) or other.startswith(one) for one, other in pairs)


def _other_names(first: WorkText, second: WorkText) -> bool:
    """Return whether both titles have names from code, and none of them is in the other's text."""
    if not first.identifiers or not second.identifiers:
        return False
    return not (
        any(name in second.text for name in first.identifiers) or any(name in first.text for name in second.identifiers)
    )


def _is_opposite(left: Collection[str], right: Collection[str], one: str, other: str) -> bool:
    """Return whether one side has one of two opposites alone, and the other side the other one alone."""
    sides = {(one in words, other in words) for words in (left, right)}
    return sides == {(True, False), (False, True)}


def _has_opposite_by_prefix(left: Collection[str], right: Collection[str]) -> bool:
    """Return whether one side has a word and the other side, which has it not, that with a prefix such as `un`."""
    return any(f"{prefix}{word}" in right and word not in right for word in left for prefix in _OPPOSING)


def _has_word_of_its_own(first: WorkText, second: WorkText) -> bool:
    return any(word not in GENERIC and not _has(word, second.all_words) for word in first.words)
