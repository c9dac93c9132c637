"""Which planned task is work that is known already: under way, finished lately, or in an open pull request. Pure.

| rule | what is compared | tasks that it is for |
|---|---|---|
| same signal | what the task answers, with what unfinished work answers | all |
| near-same text | title and text, see `similar_text` | those that rest on goals or on a package's fact |

An issue that an open pull request says it closes is not planned at all: `planning.selection` leaves it out.

A failed check and a remark are known by themselves: the next failure has the same words and is new work. What a person
asked for, by a label or a request, is never left out for its words, since a person's word is final; the plan's notes
name what it resembles.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from squire_pipelines.domain.plans import DUPLICATES, PlanFinding, leave_out, omit
from squire_pipelines.domain.signals import OpenPullRequest, Signal, SignalKind
from squire_pipelines.domain.similar_text import WorkText, is_same_work
from squire_pipelines.domain.tasks import LeftOutReason, LeftOutTask, Plan, TaskSpec, TaskStatus

# Without its end a fence reaches as far as the text does: else each further one would be looked through to the end too.
_QUOTED = re.compile(r"<data [0-9a-f]{16}>\n(.*?)(?:\n</data |\Z)", re.DOTALL)
_HEADERS = re.compile(r"^(?:title|author|url|seen by): .*$", re.MULTILINE)
_PERSONS = (f"{SignalKind.OPEN_ISSUE}:", f"{SignalKind.MANUAL_TASK}:")
_BY_THEMSELVES = (f"{SignalKind.FAILED_CI}:", f"{SignalKind.REVIEW_FINDING}:")
MAX_CLOSED_ISSUES = 20
_NOT_SHOWN_AS_TEXT = re.compile(r"<!--.*?(?:-->|\Z)|(`{3,}|~{3,}).*?(?:\1|\Z)|`[^`\n]*`", re.DOTALL)
_CLOSING = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+"
    r"(?:([\w.-]{1,100}/[\w.-]{1,100})?#|https?://[^\s/]{1,255}/([\w.-]{1,100}/[\w.-]{1,100})/issues/)(\d{1,9})\b",
    re.IGNORECASE,
)


def closed_issues(text: str, repository: str) -> tuple[int, ...]:
    """Return the issues of the pull request's own repository that its text says it closes.

    An issue is named by its number, by `owner/name#number`, or by its page.

    The words are GitHub's, which reads none in comments and code, where templates explain them:
    https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
    """
    named = _CLOSING.findall(_NOT_SHOWN_AS_TEXT.sub(" ", text))
    own = repository.casefold()
    numbers = dict.fromkeys(int(number) for short, page, number in named if (short or page or own).casefold() == own)
    return tuple(numbers)[:MAX_CLOSED_ISSUES]


@dataclass(frozen=True)
class KnownWork:
    """Some work that a new task must not repeat.

    Args:
        name: The id of a task, or `#` and the number of a pull request, or the key of a task of the same plan.
        text: Its title and what is said of it.
        state: Of a task in the ledger; None for other work.
        signals: The refs that it answers, while it is unfinished or its pull request is open.
        branch: That of a pull request; None for a task.
    """

    name: str
    text: WorkText
    state: TaskStatus | None = None
    signals: frozenset[str] = frozenset()
    branch: str | None = None

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "task" if self.branch is None else "open pull request"

    def __str__(self) -> str:
        state = "" if self.state is None else f" ({self.state})"
        return f"the {self.kind} {self.name} {self.text.title!r}{state}"


def text_of(spec: TaskSpec) -> WorkText:
    """Return a task's own words: its title, and its text without what rules put around quoted facts."""
    quoted = "\n".join(_QUOTED.findall(spec.prompt))
    return WorkText(spec.title, _HEADERS.sub("", quoted) if quoted else spec.prompt)


def open_pull_requests(signals: Iterable[Signal]) -> tuple[KnownWork, ...]:
    """Return the open pull requests among a repository's signals, whoever opened them."""
    return tuple(
        KnownWork(f"#{signal.details.number}", WorkText(signal.title), branch=signal.details.head_ref)
        for signal in signals
        if isinstance(signal.details, OpenPullRequest)
    )


def resembling(text: WorkText, works: Iterable[KnownWork], *, base_branch: str) -> Iterator[KnownWork]:
    """Yield the works that say nearly the same; a pull request whose branch the work goes into is none."""
    return (work for work in works if work.branch != base_branch and is_same_work(text, work.text))


def leave_out_duplicates(plan: Plan, known: Sequence[KnownWork]) -> Plan:
    """Return the plan without tasks that repeat known work or an earlier task of the plan; `left_out` names which.

    What depends on a task that repeats one of the ledger waits for that one; what depends on another repeated task is
    left out too.
    """
    return leave_out_known(plan, {plan.repository: known})


def leave_out_known(plan: Plan, known: Mapping[str, Sequence[KnownWork]]) -> Plan:
    """Return the plan without tasks that repeat work of their own repository, which `known` has by its name.

    The same work in two repositories is no repetition. See `leave_out_duplicates`.
    """
    omissions: list[LeftOutTask] = []
    notes: list[str] = []
    for repository in dict.fromkeys(task.repository for task in plan.tasks):
        tasks = [task for task in plan.tasks if task.repository == repository]
        repeated, remarks = _repetitions(tasks, known.get(repository or plan.repository, ()))
        omissions += repeated
        notes += remarks
    plan = plan.model_copy(update={"notes": tuple(dict.fromkeys((*plan.notes, *notes)))}) if notes else plan
    return leave_out(plan, omissions) if omissions else plan


def _repetitions(tasks: Iterable[TaskSpec], known: Sequence[KnownWork]) -> tuple[list[LeftOutTask], list[str]]:
    """Return which tasks repeat known work or one before them, and notes about those that are kept all the same."""
    works = list(known)
    omissions: list[LeftOutTask] = []
    notes: list[str] = []
    for task in tasks:
        match = next(_matches(task, works), None)
        if match is None:
            notes += _resemblances(task, works)
            works.append(KnownWork(task.key, text_of(task)))
            continue
        work, reason = match
        task_id = None if work.state is None else work.name
        message = f"{reason} {work}"
        omissions.append(omit(task, LeftOutReason.DUPLICATE, message, duplicate_of=work.name, task_id=task_id))
    return omissions, notes


def check_duplicates(plan: Plan, known: Sequence[KnownWork], covered: Collection[str]) -> Iterator[PlanFinding]:
    """Check that no task of a plan repeats another one, or known work, or answers a fact that needs no task.

    Args:
        plan: After `leave_out_duplicates`.
        known: Work that a task must not repeat.
        covered: Refs of the facts that need no task.
    """
    answered: dict[str, str] = {}
    for task in plan.tasks:
        for ref in task.signals:
            if ref in covered:
                yield PlanFinding(DUPLICATES, task.key, f"answers {ref!r}, which needs no task")
            elif (other := answered.setdefault(ref, task.key)) != task.key:
                yield PlanFinding(DUPLICATES, task.key, f"answers {ref!r}, as the task {other!r} does")
    for omission in leave_out_duplicates(plan, known).left_out[len(plan.left_out) :]:
        if omission.reason is LeftOutReason.DUPLICATE:
            yield PlanFinding(DUPLICATES, omission.key, omission.message)


def _matches(task: TaskSpec, works: Iterable[KnownWork]) -> Iterator[tuple[KnownWork, str]]:
    """Yield the works that a task repeats, each with the words that say why."""
    by_text = not any(ref.startswith((*_PERSONS, *_BY_THEMSELVES)) for ref in task.signals)
    text = text_of(task)
    for work in works:
        if shared := sorted(work.signals.intersection(task.signals)):
            yield work, f"it answers {shared[0]}, as does"
        elif by_text and work.branch != task.base_branch and is_same_work(text, work.text):
            yield work, "it says nearly the same as"


def _resemblances(task: TaskSpec, works: Iterable[KnownWork]) -> Iterator[str]:
    """Yield a note where what a person asked for says nearly the same as other work."""
    if not any(ref.startswith(_PERSONS) for ref in task.signals):
        return
    for work in islice(resembling(text_of(task), works, base_branch=task.base_branch), 1):
        yield f"{task.key} says nearly the same as {work}; it is kept, since a person asked for it"
