"""Which remarks say the same about several pull requests, by their words. Pure.

Unlike two tasks, two remarks about different names are often the same remark: what differs between them does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from squire_pipelines.domain.repository_facts import RepeatedRemark
from squire_pipelines.domain.similar_text import WorkText

MAX_REMARKS = 200
MAX_GROUPS = 10
_MAX_CHARS = 300
_COMMON_WORDS = 2
_COMMON_SHARE = 0.5
"""Twice the words in common, by the words of both."""


@dataclass(frozen=True, slots=True)
class ReviewRemark:
    """A remark on a pull request."""

    pull_request: int
    author: str
    text: str


@dataclass(slots=True)
class _Group:
    words: frozenset[str]
    remarks: list[ReviewRemark] = field(default_factory=list)


def repeated(remarks: Sequence[ReviewRemark]) -> tuple[RepeatedRemark, ...]:
    """Return what was asked for on two pull requests or more, the most frequent first.

    Args:
        remarks: The newest first; of more than `MAX_REMARKS` the others are left out.
    """
    groups: list[_Group] = []
    for remark in remarks[:MAX_REMARKS]:
        words = frozenset(WorkText(remark.text[:_MAX_CHARS]).words)
        group = next((group for group in groups if _are_alike(group.words, words)), None)
        if group is None:
            groups.append(group := _Group(words))
        group.remarks.append(remark)
    answers = (_as_repeated(group.remarks) for group in groups)
    several = [answer for answer in answers if len(answer.pull_requests) > 1]
    return tuple(sorted(several, key=lambda answer: -answer.count)[:MAX_GROUPS])


def _as_repeated(remarks: Sequence[ReviewRemark]) -> RepeatedRemark:
    newest = remarks[0]
    return RepeatedRemark(
        text=newest.text[:_MAX_CHARS],
        author=newest.author,
        count=len(remarks),
        pull_requests=tuple(sorted({remark.pull_request for remark in remarks})),
    )


def _are_alike(first: frozenset[str], second: frozenset[str]) -> bool:
    common = len(first & second)
    return common >= _COMMON_WORDS and 2 * common >= _COMMON_SHARE * (len(first) + len(second))
