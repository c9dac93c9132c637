"""Which deliveries ask for nothing: by the rules of the settings, and because they are about our own writing. Pure.

The first rule that matches a delivery counts, whatever comes after it. What is not known of a delivery matches nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.branches import is_own_branch
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.globs import matches

OWN_RULE = "squire:own"
"""The name of the rule that is always there, before those of the settings, which can have no such name."""

OWN_MARK = "<!-- squire "
"""How Squire's comments begin, whatever they are about."""

MAX_PATHS = 3000
"""The most paths of a delivery that are compared; those of one with more count as not known."""

_BOT_SUFFIX = "[bot]"  # REST and deliveries append it to an App's login, GraphQL does not
_COMMENTS = frozenset({"issue_comment", "pull_request_review", "pull_request_review_comment"})
_CHECKS = frozenset({"check_run", "check_suite"})
_OWN_EDITS = frozenset({"edited", "labeled", "unlabeled"})


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """What rules ask of a delivery; None, or nothing in `branches`, where it does not say.

    Args:
        event: Its kind.
        action: What happened.
        repository: What it is about, `owner/name`.
        sender: The login of who caused it.
        is_bot: Whether that is a bot or an App, by GitHub's type.
        branches: The branch that was pushed, or those of the pull request, head first, or those of a check.
        labels: Of the issue or pull request, with the one that was just set or taken away.
        paths: All that a push changed, or the file that a remark is about.
        is_marked: Whether it is about a comment or review that begins with our mark and gives no command.
        app: The App that a check is of, by its name in addresses.
        source: Who sent it: `github`, or another sender, of which nothing but the event is known here.
    """

    event: str
    action: str | None = None
    repository: str | None = None
    sender: str | None = None
    is_bot: bool | None = None
    branches: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    is_marked: bool = False
    app: str | None = None
    source: str = DeliverySource.GITHUB


@dataclass(frozen=True, slots=True)
class DeliveryRule:
    """A rule: everything that it names has to match; of each list, one pattern.

    Args:
        name: By which what it filtered is known.
        keep: Whether what matches is let through, whatever rules come after it.
        repositories: Patterns; likewise all other lists.
        senders: A login without `[bot]` means the App of that name, too.
        bots: Whether it is for bots alone, or for all others alone; None for both.
        events: Their names.
        actions: Their names.
        branches: One of the delivery's branches matches.
        paths: All paths match, so that a push which also changes others is let through; of a rule that keeps, one.
        labels: One of the delivery's labels matches.
        sources: Whose deliveries it is about; GitHub's alone where none is named.
    """

    name: str
    keep: bool = False
    repositories: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    bots: bool | None = None
    events: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def matches(self, facts: DeliveryFacts) -> bool:
        """Return whether a delivery is all that the rule names."""
        if self.bots is not None and facts.is_bot is not self.bots:
            return False
        lists = (
            (self.repositories, _known(facts.repository)),
            (self.senders, _spellings(facts.sender)),
            (self.events, (facts.event,)),
            (self.actions, _known(facts.action)),
            (self.branches, facts.branches),
            (self.labels, facts.labels or ()),
            (self.sources or (DeliverySource.GITHUB,), (facts.source,)),
        )
        return all(not patterns or _any(values, patterns) for patterns, values in lists) and self._fits_paths(facts)

    def _fits_paths(self, facts: DeliveryFacts) -> bool:
        if not self.paths:
            return True
        hits = (matches(path, self.paths) is not None for path in facts.paths or ())
        return bool(facts.paths) and (any(hits) if self.keep else all(hits))


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """By what our own writing is known: the App's login, None where a token of a person's is used, and our branches."""

    login: str | None
    branch_prefix: str

    def wrote(self, facts: DeliveryFacts) -> bool:
        """Return whether we caused a delivery, which is known where Squire is an App alone."""
        return self.login is not None and (facts.sender or "").casefold() == self.login.casefold()

    def owns_head(self, facts: DeliveryFacts) -> bool:
        """Return whether what was pushed, or the pull request's head, is a branch of ours by its name."""
        return bool(facts.branches) and is_own_branch(facts.branches[0], self.branch_prefix)


def rule_for(facts: DeliveryFacts, rules: Sequence[DeliveryRule], own: OwnAccount) -> str | None:
    """Return the name of the rule by which a delivery asks for nothing; None where none does."""
    if is_own_writing(facts, own):
        return OWN_RULE
    rule = first_match(facts, rules)
    return rule.name if rule is not None and not rule.keep else None


def first_match(facts: DeliveryFacts, rules: Sequence[DeliveryRule]) -> DeliveryRule | None:
    """Return the first rule that matches a delivery; None where none does."""
    return next((rule for rule in rules if rule.matches(facts)), None)


def is_own_writing(facts: DeliveryFacts, own: OwnAccount) -> bool:
    """Return whether a delivery is the echo of what we wrote and says nothing that we do not know.

    Those are our comments and checks, and changes of our pull requests' words and labels. Where the token is a
    person's, comments are known by their mark, which anybody can write: so one that gives a command is none of ours.
    """
    if facts.source != DeliverySource.GITHUB:
        return False
    if facts.event in _COMMENTS:
        return facts.is_marked if own.login is None else own.wrote(facts)
    if facts.event in _CHECKS:
        return own.login is not None and f"{facts.app}{_BOT_SUFFIX}".casefold() == own.login.casefold()
    is_edit = facts.event == "pull_request" and facts.action in _OWN_EDITS
    return is_edit and own.wrote(facts) and own.owns_head(facts)


def asks_for_reading(facts: DeliveryFacts, own: OwnAccount) -> bool:
    """Return whether what a delivery tells may be seen by reading its repository.

    What we did to our own branches and pull requests is to be recorded, and nothing is to be read for it. Of a push to
    a branch of ours by somebody else, the pull request's own delivery tells.
    """
    if not own.owns_head(facts):
        return True
    return facts.event != "push" and not (facts.event == "pull_request" and own.wrote(facts))


def _known(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _spellings(login: str | None) -> tuple[str, ...]:
    """Return a login as it is, and that of an App without its suffix."""
    if login is None:
        return ()
    return (login, login.removesuffix(_BOT_SUFFIX)) if login.endswith(_BOT_SUFFIX) else (login,)


def _any(values: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(matches(value, patterns, beneath=False) is not None for value in values)
