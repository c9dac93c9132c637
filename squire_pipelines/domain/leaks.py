"""What must not be published, wherever it stands: secrets in any encoding, the canary, what a commit says. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from squire_pipelines.domain import canary
from squire_pipelines.domain.change import ChangedFile, CommitText, Decision, Finding, JudgedTask, Verdict
from squire_pipelines.domain.credentials import (
    find_credentials,
    find_encoded,
    known_forms,
    plain_forms,
    plain_text,
)

# Characters that reverse a text's order, are invisible, or move a terminal's cursor: a reviewer sees another text than
# a compiler does (https://trojansource.codes).
HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\x1b\x08]")


@dataclass(frozen=True, slots=True)
class SecretForms:
    """What must not be published, in all forms that are looked for."""

    known: tuple[str, ...]
    plain: tuple[str, ...]
    attempt_id: str | None

    @classmethod
    def of(cls, task: JudgedTask) -> Self:
        """Return all forms of what the attempt must not publish."""
        return cls(known_forms(task.known_secrets), plain_forms(task.known_secrets), task.attempt_id)

    def in_line(self, text: str) -> dict[str, None]:
        """Say once each what in a line is a secret, or looks like one."""
        return dict.fromkeys((*find_credentials(text, self.known), *find_encoded(text)))

    def in_pieces(self, text: str) -> bool:
        """Return whether a known secret is in `text` once its punctuation is gone."""
        plain = plain_text(text)
        return any(form in plain for form in self.plain)

    def canary_in(self, text: str) -> bool:
        """Return whether the attempt's canary is in `text`."""
        return self.attempt_id is not None and canary.has_canary(text, self.attempt_id)


def _secret(message: str, path: str | None = None, line: int | None = None) -> Finding:
    return Finding("secret", path, line, message, Decision.REJECT)


def _canary(message: str, path: str | None = None) -> Finding:
    return Finding(canary.RULE, path, None, f"{message} {canary.MESSAGE}", Decision.REJECT)


def check_secrets(file: ChangedFile, forms: SecretForms) -> Iterator[Finding]:
    """Find secrets and the canary in what a file adds, and in its path."""
    leaks = [
        _secret(f"adds {leak}", file.path, number) for number, line in file.added_lines for leak in forms.in_line(line)
    ]
    yield from leaks
    for leak in forms.in_line(file.path):
        yield _secret(f"the path of a file contains {leak}")
    whole = "\n".join(line for _, line in file.added_lines)
    if not leaks and forms.in_pieces(whole):
        yield _secret("adds a secret of this installation in pieces", file.path)
    if forms.canary_in(whole) or forms.canary_in(file.path):
        yield _canary("adds", file.path)


def check_across(files: Sequence[ChangedFile], forms: SecretForms) -> Iterator[Finding]:
    """Find a secret that is spread over several files, in their order or in their names."""
    text = "\n".join(line for file in files for _, line in file.added_lines)
    paths = "\n".join(file.path for file in files)
    for whole in (text, paths):
        if forms.in_pieces(whole):
            yield _secret("the files together contain a secret of this installation in pieces")
        if forms.canary_in(whole):
            yield _canary("the files together contain")


def check_commit(commit: CommitText, forms: SecretForms) -> Iterator[Finding]:
    """Find secrets in a commit's text, which is not published: an agent that writes them there means to."""
    where = f"commit {commit.sha[:12]}"
    text = commit.raw
    leaks = dict.fromkeys(leak for line in text.splitlines() for leak in forms.in_line(line))
    for leak in leaks:
        yield _secret(f"the text of {where} contains {leak}")
    if not leaks and forms.in_pieces(text):
        yield _secret(f"the text of {where} contains a secret of this installation in pieces")
    if forms.canary_in(text):
        yield _canary(f"the text of {where} contains")


def judge_text(text: str, task: JudgedTask) -> Verdict:
    """Judge a text that is to be shown on GitHub, such as a pull request's: no secret and no canary may be in it."""
    forms = SecretForms.of(task)
    findings = [
        _secret(f"the text of the pull request contains {leak}", line=number)
        for number, line in enumerate(text.splitlines(), 1)
        for leak in forms.in_line(line)
    ]
    if not findings and forms.in_pieces(text):
        findings.append(_secret("the text of the pull request contains a secret of this installation in pieces"))
    if forms.canary_in(text):
        findings.append(_canary("the text of the pull request contains"))
    return Verdict.of(findings)
