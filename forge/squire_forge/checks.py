"""The stand-in for CI: a check compares a commit's files with expectations. Code of a repository never runs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from squire_forge.records import Expectation

WORKFLOW_NAME = "CI"
APP_ID, APP_NAME, APP_SLUG = 15368, "GitHub Actions", "github-actions"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `conclusion` is success or failure."""

    name: str
    conclusion: str
    title: str
    summary: str
    text: str


def _failure(expectation: Expectation, content: str | None) -> str | None:
    """Return what is wrong with the file, None if nothing is. A file that is missing matches nothing."""
    match = re.search(expectation.pattern, content, re.MULTILINE) if content is not None else None
    if bool(match) == expectation.must_match:
        return None
    if content is None:
        return f"{expectation.path}: no such file. {expectation.message}".rstrip()
    line = f":{content.count(chr(10), 0, match.start()) + 1}" if match else ""
    return f"{expectation.path}{line}: {expectation.message or 'not as expected'}"


def evaluate(
    expectations: Sequence[Expectation], read_file: Callable[[str], str | None], *, again: bool = False
) -> tuple[CheckResult, ...]:
    """Return one result for each check name, in the order of their first expectation.

    Args:
        expectations: All of a repository.
        read_file: Gives the text of a path in the commit, None if there is no such file.
        again: Whether this is not the first run on the commit: what is flaky passes then.
    """
    results = []
    for name in dict.fromkeys(expectation.check_name for expectation in expectations):
        own = [expectation for expectation in expectations if expectation.check_name == name]
        judged = [item for item in own if not (again and item.flaky)]
        failures = [text for item in judged if (text := _failure(item, read_file(item.path))) is not None]
        results.append(
            CheckResult(
                name=name,
                conclusion="failure" if failures else "success",
                title=f"{len(failures)} of {len(own)} failed" if failures else "All passed",
                summary=f"{name}: {len(own) - len(failures)} passed, {len(failures)} failed",
                text="\n\n".join(failures),
            )
        )
    return tuple(results)


def overall(conclusions: Sequence[str]) -> str:
    """Return the conclusion of a suite."""
    return "success" if all(conclusion == "success" for conclusion in conclusions) else "failure"
