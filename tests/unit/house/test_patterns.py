"""Every regular expression of ours takes time in proportion to the text: strangers write most of what they see."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import squire_pipelines

PACKAGE = Path(squire_pipelines.__file__).parent
CALLS = {"compile", "sub", "subn", "search", "match", "fullmatch", "split", "findall", "finditer"}
BEGINNINGS = (
    "",
    "a",
    "a:",
    "/a",
    "<a",
    "`1`:",
    "**a",
    "```diff",
    "confidence",
    "between a",
    "authorization:",
    "bearer",
    "<!-- LOCATIONS START ",
    "<details>",
)
SIGNS = [
    *" \n\t\r\0a0AZf<>`*-_[]()\"'=:.,;/\\#@!&|~%+$^?{}\x1b\x9b\xa0é",
    "\\u",
    "a ",
    "0 ",
    "a:",
    "a=",
    "- ",
    "> ",
    "[a](",
]
SIZES = (60, 250, 2_000)
TIMES_LONGER = 4
ENOUGH_TO_MEASURE_S = 0.0006
"""What 2,000 characters take when each costs 0.3 µs: most linear patterns take less, and are not measured."""
TOO_LONG_S = 0.05
"""What no linear pattern takes for 2,000 characters: a longer text may take hours."""
MEASUREMENTS = 6
"""A busy machine adds to a time now and then; what makes a pattern read again is there each time."""


def patterns_within(value: object, depth: int = 3) -> Iterator[re.Pattern[str] | re.Pattern[bytes]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth:
        yield from patterns_within(tuple(value.values()), depth - 1)
    elif type(value) in {tuple, list, frozenset} and depth:  # none of the kinds that forbid it
        for item in value:  # type: ignore[attr-defined]
            yield from patterns_within(item, depth - 1)


def module_patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """Yield what modules hold, also in tables, and what their functions write in calls of `re`."""
    for info in pkgutil.walk_packages(squire_pipelines.__path__, "squire_pipelines."):
        if ".migrations." in info.name or info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            yield from ((f"{info.name}.{name}", pattern) for pattern in patterns_within(value))
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^import re$", text, re.MULTILINE):
            continue  # to parse all of them at each start of the tests takes long
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[ast.Constant(value=str(written)), *_]
                ) if name in CALLS:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", re.compile(written)


ALL = {(pattern.pattern, pattern.flags): (name, pattern) for name, pattern in module_patterns()}


def units(pattern: re.Pattern[str] | re.Pattern[bytes]) -> Iterable[str]:
    """Return what a text may repeat to make a pattern read it again and again: its own words, and common signs."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    words = re.findall(r"[^\W_]{2,12}[-_:= ]?|-{3,8}", re.sub(r"\\[A-Za-z]", " ", source))
    return dict.fromkeys([*SIGNS, *words])


def seconds(pattern: re.Pattern[str] | re.Pattern[bytes], text: str, tries: int = 1) -> float:
    """Return the processor's time for all matches in a text: the least of so many tries."""
    least = float("inf")
    for _ in range(tries):
        started = time.thread_time()
        if isinstance(pattern.pattern, bytes):
            data: object = text.encode("utf-8")
            for _match in pattern.finditer(data):  # type: ignore[call-overload]
                pass
        else:
            for _match in pattern.finditer(text):
                pass
        least = min(least, time.thread_time() - started)
    return least


def growth(pattern: re.Pattern[str] | re.Pattern[bytes], beginning: str, unit: str) -> float:
    """Return how much more time a text takes that is four times as long: 4 in proportion, 16 with the square."""
    time_s = 0.0
    for size in SIZES:
        text = beginning + unit * (size // len(unit))
        if (time_s := seconds(pattern, text)) > TOO_LONG_S and seconds(pattern, text, tries=2) > TOO_LONG_S:
            return float("inf")
    if time_s < ENOUGH_TO_MEASURE_S:
        return TIMES_LONGER
    longer = beginning + unit * (SIZES[-1] * TIMES_LONGER // len(unit))
    return seconds(pattern, longer, tries=2) / seconds(pattern, text, tries=3)


def reads_again(pattern: re.Pattern[str] | re.Pattern[bytes], beginning: str, unit: str) -> bool:
    """Return whether the time grows faster than the text, in every one of several measurements."""
    return all(growth(pattern, beginning, unit) > 2 * TIMES_LONGER for _ in range(MEASUREMENTS))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), [pytest.param(*item, id=item[0]) for item in ALL.values()])
def test_no_pattern_reads_a_text_again_and_again(name: str, pattern: re.Pattern[str] | re.Pattern[bytes]) -> None:
    texts = ((beginning, unit) for unit in units(pattern) for beginning in BEGINNINGS)
    slow = next((text for text in texts if reads_again(pattern, *text)), None)
    assert slow is None, f"{name} takes too long for {slow[0]!r} and then {slow[1]!r} again and again"


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "unit"), [(r"\s*x", " "), (r"sk-(?=[a-z-]*\d)", "sk-")])
def test_a_pattern_that_does_is_found(pattern: str, unit: str) -> None:
    # A busy machine may add to the shorter text's time in one of the measurements, not in one of each five sets.
    assert any(reads_again(re.compile(pattern), "", unit) for _ in range(5))
