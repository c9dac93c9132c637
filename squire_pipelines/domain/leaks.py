"""What must not be published, wherever it stands: secrets in any spelling, the canary, what a commit says. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squire_pipelines.domain import canary
from squire_pipelines.domain.change import ChangedFile, CommitText, Decision, Finding, JudgedTask, Verdict
from squire_pipelines.domain.credentials import (
    find_credentials,
    find_encoded,
    known_forms,
    plain_forms,
    plain_text,
)

MAX_FINDINGS = 200
# What turns the order of a text, is not seen, or moves a terminal's cursor: a reviewer sees another text than a
# compiler does (https://trojansource.codes).
HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\x1b\x08]")
_CLOSING = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b[\s:]{1,20}"
    r"(?:(?P<repository>[\w.-]+/[\w.-]+)?#|GH-|https?://\S{1,200}?/(?:issues|pull)/)(?P<number>\d{1,9})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sought:
    """What must not be published, in the forms that are looked for."""

    known: tuple[str, ...]
    plain: tuple[str, ...]
    attempt_id: str | None

    @classmethod
    def of(cls, task: JudgedTask) -> "Sought":
        """All forms of what the attempt must not publish."""
        return cls(known_forms(task.known_secrets), plain_forms(task.known_secrets), task.attempt_id)

    def in_line(self, text: str) -> Iterator[str]:
        """What in a line is a secret, or looks like one."""
        yield from find_credentials(text, self.known)
        yield from find_encoded(text)

    def in_pieces(self, text: str) -> bool:
        """Whether a known secret is in `text` once its punctuation is gone."""
        plain = plain_text(text)
        return any(form in plain for form in self.plain)

    def canary_in(self, text: str) -> bool:
        """Whether the attempt's canary is in `text`."""
        return self.attempt_id is not None and canary.has_canary(text, self.attempt_id)


def check_secrets(file: ChangedFile, sought: Sought) -> Iterator[Finding]:
    """Secrets and the canary in what a file adds, and in its path."""
    found = False
    for number, line in file.added_lines:
        for what in dict.fromkeys(sought.in_line(line)):
            found = True
            yield Finding("secret", file.path, number, f"adds {what}", Decision.REJECT)
    for what in dict.fromkeys(sought.in_line(file.path)):
        yield Finding("secret", None, None, f"the path of a file contains {what}", Decision.REJECT)
    whole = "\n".join(line for _, line in file.added_lines)
    if not found and sought.in_pieces(whole):
        message = "adds a secret of this installation in pieces"
        yield Finding("secret", file.path, None, message, Decision.REJECT)
    if sought.canary_in(whole) or sought.canary_in(file.path):
        yield Finding(canary.RULE, file.path, None, f"adds {canary.MESSAGE}", Decision.REJECT)


def check_across(files: Sequence[ChangedFile], sought: Sought) -> Iterator[Finding]:
    """A secret that is spread over several files, in their order or in their names."""
    text = "\n".join(line for file in files for _, line in file.added_lines)
    paths = "\n".join(file.path for file in files)
    for whole in (text, paths):
        if sought.in_pieces(whole):
            message = "the files together contain a secret of this installation in pieces"
            yield Finding("secret", None, None, message, Decision.REJECT)
        if sought.canary_in(whole):
            yield Finding(canary.RULE, None, None, f"the files together contain {canary.MESSAGE}", Decision.REJECT)


def check_commit(commit: CommitText, task: JudgedTask, sought: Sought) -> Iterator[Finding]:
    """Secrets in a commit's text, a name that is not the bot's, and what its message would close or hide."""
    where = f"commit {commit.sha[:12]}"
    text = commit.raw or commit.message
    leaks = dict.fromkeys(what for line in text.splitlines() for what in sought.in_line(line))
    for what in leaks:
        yield Finding("secret", None, None, f"the text of {where} contains {what}", Decision.REJECT)
    if not leaks and sought.in_pieces(text):
        message = f"the text of {where} contains a secret of this installation in pieces"
        yield Finding("secret", None, None, message, Decision.REJECT)
    if sought.canary_in(text):
        yield Finding(canary.RULE, None, None, f"the text of {where} contains {canary.MESSAGE}", Decision.REJECT)
    if task.bot_email is not None and set(commit.identities) - {task.bot_email}:
        message = f"{where} is in another name than {task.bot_email}"
        yield Finding("identity", None, None, message, Decision.REJECT)
    for closing in _CLOSING.finditer(commit.message):
        if closing["repository"] or "://" in closing[0] or int(closing["number"]) not in task.issues:
            message = f"the message of {where} would close something else ({closing[0][:60]!r}) when it is merged"
            yield Finding("commit_message", None, None, message, Decision.NEEDS_APPROVAL)
    if hidden := HIDDEN.search(commit.message):
        message = f"the message of {where} has the hidden character U+{ord(hidden[0]):04X}"
        yield Finding("hidden_text", None, None, message, Decision.NEEDS_APPROVAL)


def judge_text(text: str, task: JudgedTask) -> Verdict:
    """Judge a text that is to be shown on GitHub, such as a pull request's: no secret and no canary may be in it."""
    sought = Sought.of(task)
    findings = [
        Finding("secret", None, number, f"the text of the pull request contains {what}", Decision.REJECT)
        for number, line in enumerate(text.splitlines(), 1)
        for what in dict.fromkeys(sought.in_line(line))
    ]
    if not findings and sought.in_pieces(text):
        message = "the text of the pull request contains a secret of this installation in pieces"
        findings.append(Finding("secret", None, None, message, Decision.REJECT))
    if sought.canary_in(text):
        message = f"the text of the pull request contains {canary.MESSAGE}"
        findings.append(Finding(canary.RULE, None, None, message, Decision.REJECT))
    decision = max((finding.decision for finding in findings), default=Decision.ALLOW)
    return Verdict(decision, tuple(findings)[:MAX_FINDINGS])
