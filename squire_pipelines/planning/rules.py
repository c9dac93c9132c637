"""The rules planner: signals to tasks without a model. Pure and deterministic.

| signals | task | priority | goes into |
|---|---|---|---|
| failed checks of the default branch's head | one FIX_CI for all of them | high | the default branch |
| failed checks of a pull request's head | one FIX_CI per pull request | medium | its branch |
| remarks on a pull request | one ADDRESS_REVIEW per pull request | medium | its branch |
| an issue with one of the labels | one RESOLVE_ISSUE | medium | the default branch |
| a manual task | one MANUAL | high | the default branch |
| a package's fact | one OTHER | medium | its branch, else the default branch |

What may be planned at all is decided by `selection`. Of more tasks than `max_tasks` the most urgent are kept, and
the plan's notes name the others.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from squire_pipelines.domain.evidence import SignalEvidence, beside_body, describe
from squire_pipelines.domain.identity import slugify
from squire_pipelines.domain.plans import omit
from squire_pipelines.domain.refusals import issue_task_title
from squire_pipelines.domain.signals import (
    FailedCheck,
    ManualTask,
    OpenIssue,
    PluginFact,
    ReviewFinding,
    Signal,
    SignalKind,
)
from squire_pipelines.domain.tasks import (
    LeftOutReason,
    Plan,
    Priority,
    Risk,
    TaskContext,
    TaskKind,
    TaskSpec,
    Verification,
)
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.planning.protected_paths import requestable
from squire_pipelines.planning.quoting import WARNING, one_line, quote
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS, request_spec
from squire_pipelines.planning.selection import Candidate, PlanInputs, select

PLANNER = "rules"
MAX_FACTS_IN_PROMPT = 40
MAX_LEFT_OUT = 100
"""Of the tasks above the limit, so many are in the plan by name; its notes say how many there are."""

_TEXT_BUDGET_CHARS = 30_000
_ISSUE_BUDGET_CHARS = 45_000  # with what stands around it, a task's prompt may have 50,000
_CONFIDENCE = 0.8
_BY_RULE = f"{_CONFIDENCE}: the rules give every task that a fact asks for the same, since they do not read the code"
_NAMES_IN_NOTE = 10


def plan_by_rules(inputs: PlanInputs) -> Plan:
    """Plan one repository."""
    selection = select(inputs)
    tasks = tasks_of(selection.candidates)
    notes = list(selection.notes)
    rest = tasks[inputs.max_tasks :]
    if rest:
        names = ", ".join(task.key for task in rest[:_NAMES_IN_NOTE])
        more = f" and {len(rest) - _NAMES_IN_NOTE} more" if len(rest) > _NAMES_IN_NOTE else ""
        notes.append(f"{len(tasks)} tasks, the limit is {inputs.max_tasks}; left for the next plan: {names}{more}")
    over = f"a plan has at most {inputs.max_tasks} tasks (`planner.max_tasks`), and these are more urgent"
    return Plan(
        repository=inputs.repository,
        planner=PLANNER,
        signals_digest=signals_digest(inputs.signals),
        tasks=tasks[: inputs.max_tasks],
        notes=tuple(notes),
        left_out=tuple(omit(task, LeftOutReason.OVER_LIMIT, over) for task in rest[:MAX_LEFT_OUT]),
    )


def tasks_of(candidates: Iterable[Candidate]) -> tuple[TaskSpec, ...]:
    """Return the tasks that the rules make of these signals, the most urgent first."""
    groups: dict[tuple[object, ...], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[_group(candidate)].append(candidate)
    return tuple(
        sorted((_task(group) for group in groups.values()), key=lambda task: (task.priority, task.kind, task.key))
    )


def _group(candidate: Candidate) -> tuple[object, ...]:
    """Return what a signal is grouped by: signals of one group become one task."""
    match candidate.signal.details:
        case FailedCheck() as check:
            return (SignalKind.FAILED_CI, check.branch, check.head_sha, check.pull_request)
        case ReviewFinding() as finding:
            return (SignalKind.REVIEW_FINDING, finding.pull_request)
        case _:
            return (candidate.signal.ref,)


def _task(group: Sequence[Candidate]) -> TaskSpec:
    first = group[0].signal
    match first.details:
        case FailedCheck() as check:
            return _fix_ci(group, check)
        case ReviewFinding() as finding:
            return _address_review(group, finding)
        case OpenIssue() as issue:
            return _resolve_issue(group[0], issue)
        case ManualTask() as manual:
            return _manual(group[0], manual)
        case PluginFact() as fact:
            return _answer_fact(group[0], fact)
        case _:  # pragma: no cover - `select` offers no other kind
            raise AssertionError(first.ref)


def _fix_ci(group: Sequence[Candidate], first: FailedCheck) -> TaskSpec:
    checks = [(c.signal, c.signal.details) for c in group if isinstance(c.signal.details, FailedCheck)]
    where = one_line(first.branch, 60)
    number = first.pull_request
    target = f"`{where}`" if number is None else f"pull request #{number} (branch `{where}`)"
    facts = [
        f"check: {check.check}\nworkflow: {check.workflow or '-'}\nconclusion: {check.conclusion}\n"
        f"url: {signal.url}\nsummary: {check.summary or '-'}{_second_run(check)}" + _evidence(signal, len(checks))
        for signal, check in checks
    ]
    prompt = (
        f"Checks fail on {target} at commit {one_line(first.head_sha, 40)}. Find the cause in the code of this "
        "repository and fix it. Do not switch off, skip or weaken a check or a test to make it pass.\n\n"
        f"The failed checks, as the CI system reports them:\n\n{_facts(facts)}"
    )
    names = ", ".join(dict.fromkeys(one_line(check.check, 60) for _, check in checks))
    return TaskSpec(
        key=f"fix-ci-{slugify(first.branch)}-{_digest(first.branch, first.head_sha, str(first.pull_request))}",
        title=one_line(f"Fix failing checks on {where if number is None else f'#{number}'}: {names}", 200),
        kind=TaskKind.FIX_CI,
        prompt=prompt,
        priority=Priority.HIGH if first.on_default_branch else Priority.MEDIUM,
        risk=Risk.MEDIUM,
        confidence=_CONFIDENCE,
        confidence_factors=_factors(group),
        base_branch=group[0].base_branch,
        signals=_refs(group),
        evidence=_refs(group),
        acceptance_criteria=("The named checks pass.", "No check or test is removed, skipped or weakened."),
        verification=Verification(run_tests=True, run_lint=True, run_build=True),
        allow_protected=requestable(TaskKind.FIX_CI, (first,)),
    )


def _address_review(group: Sequence[Candidate], first: ReviewFinding) -> TaskSpec:
    findings = [(c.signal, c.signal.details) for c in group if isinstance(c.signal.details, ReviewFinding)]
    facts = [
        f"reviewer: {finding.author}{' (a bot)' if finding.is_bot else ''}{_judgement(finding)}\n"
        f"where: {_place(finding)}\nurl: {signal.url}\n\n{finding.body}{_evidence(signal, len(findings))}"
        for signal, finding in findings
    ]
    talk = next((signal.evidence.conversation for signal, _ in findings if signal.evidence), ())
    if talk and (aside := describe(SignalEvidence(conversation=talk))):
        facts.append(aside)
    number = first.pull_request
    count = f"{len(findings)} open remark{'' if len(findings) == 1 else 's'}"
    prompt = (
        f"Reviewers left {count} on pull request #{number}, whose branch you are on. Judge each: where "
        "it is right, change the code as it asks; where it is wrong, leave the code and say why in the commit "
        f"message.\n\nThe remarks:\n\n{_facts(facts)}"
    )
    paths = dict.fromkeys(one_line(finding.path, 300) for _, finding in findings if finding.path)
    return TaskSpec(
        key=f"review-{number}",
        title=f"Address {count} on #{number}",
        kind=TaskKind.ADDRESS_REVIEW,
        prompt=prompt,
        confidence=_CONFIDENCE,
        confidence_factors=_factors(group),
        base_branch=group[0].base_branch,
        signals=_refs(group),
        evidence=_refs(group),
        context=TaskContext(files_to_read=tuple(paths)[:MAX_FACTS_IN_PROMPT]),
        acceptance_criteria=("Every remark that is right is dealt with.", "Nothing else is changed."),
    )


def _resolve_issue(candidate: Candidate, issue: OpenIssue) -> TaskSpec:
    signal = candidate.signal
    fact = f"title: {signal.title}\nauthor: {issue.author}\nurl: {signal.url}\n\n{issue.body}"
    prompt = (
        f"Resolve issue #{issue.number} of this repository: change the code so that what it describes is done, and "
        f"add a test where the repository has tests.\n\nThe issue:\n\n{_facts([fact], _ISSUE_BUDGET_CHARS)}"
    )
    return TaskSpec(
        # The key of an issue's signal is its number; a source of its own may name its issues otherwise.
        key=f"issue-{signal.key if signal.key == str(issue.number) else _digest(signal.key)}",
        title=issue_task_title(issue.number, signal.title),
        kind=TaskKind.RESOLVE_ISSUE,
        prompt=prompt,
        risk=Risk.MEDIUM,
        confidence=_CONFIDENCE,
        confidence_factors=_factors([candidate]),
        base_branch=candidate.base_branch,
        signals=(signal.ref,),
        evidence=(signal.ref,),
        allow_protected=requestable(TaskKind.RESOLVE_ISSUE, (issue,)),
        acceptance_criteria=(
            f"What issue #{issue.number} describes is done.",
            "A test shows it, where there are tests.",
        ),
    )


def _manual(candidate: Candidate, manual: ManualTask) -> TaskSpec:
    signal = candidate.signal
    return request_spec(
        signal.title,
        manual.body[:MAX_TEXT_CHARS],
        key=f"manual-{slugify(signal.title)}-{_digest(signal.key)}",
        base_branch=candidate.base_branch,
        signals=(signal.ref,),
        allow_protected=requestable(TaskKind.MANUAL, (manual,)),
        agent=manual.agent,
    )


def _answer_fact(candidate: Candidate, fact: PluginFact) -> TaskSpec:
    signal = candidate.signal
    severity = f"\nseverity: {fact.severity}" if fact.severity else ""
    origin = f"seen by: {fact.source}\nauthor: {fact.author or '-'}\nurl: {signal.url or '-'}{severity}"
    text = f"title: {signal.title}\n{origin}\n\n{fact.body}"
    return TaskSpec(
        key=f"{fact.source}-{slugify(signal.title)}-{_digest(signal.key)}",
        title=one_line(f"Deal with: {signal.title}", 200),
        kind=TaskKind.OTHER,
        prompt=f"Deal with the following fact about this repository, where its code is the cause:\n\n{_facts([text])}",
        risk=Risk.MEDIUM,
        confidence=_CONFIDENCE,
        confidence_factors=_factors([candidate]),
        base_branch=candidate.base_branch,
        signals=(signal.ref,),
        evidence=(signal.ref,),
    )


def _facts(facts: Sequence[str], budget_chars: int = _TEXT_BUDGET_CHARS) -> str:
    """Return the first facts as quoted data, each with its share of the room, and how many more there are."""
    shown = facts[:MAX_FACTS_IN_PROMPT]
    share = budget_chars // len(shown)
    parts = [WARNING, *(quote(fact, limit=share) for fact in shown)]
    if len(facts) > len(shown):
        parts.append(f"… and {len(facts) - len(shown)} more of the same sort.")
    return "\n\n".join(parts)


def _second_run(check: FailedCheck) -> str:
    """Return what a second run of the check brought, for whoever would take the failure for chance."""
    if check.rerun is None:
        return ""
    because = f": {one_line(check.rerun_note, 200)}" if check.rerun_note else ""
    return f"\nsecond run, tried since {check.failure_reason or 'it may not be the code'}: {check.rerun}{because}"


def _judgement(finding: ReviewFinding) -> str:
    """Return what a review bot says of its finding itself."""
    severity = f"\nseverity: {finding.severity}" if finding.severity else ""
    return severity + (f"\nconfidence: {finding.confidence:.0%}" if finding.confidence is not None else "")


def _place(finding: ReviewFinding) -> str:
    lines = f":{finding.line}" if finding.line else ""
    if finding.start_line and finding.start_line != finding.line:
        lines = f":{finding.start_line}-{finding.line}"
    outdated = " (outdated: this code has changed since)" if finding.outdated else ""
    return f"{finding.path or '-'}{lines}{outdated}"


def _evidence(signal: Signal, facts: int) -> str:
    """Return a signal's evidence as the end of a fact, of which there are `facts`; most of its room is the log's."""
    if signal.evidence is None:
        return ""
    share = _TEXT_BUDGET_CHARS // min(facts, MAX_FACTS_IN_PROMPT)
    text = describe(beside_body(signal.evidence), log_chars=share * 2 // 3)
    return f"\n\n{text}" if text else ""


def _factors(group: Sequence[Candidate]) -> tuple[str, ...]:
    """Return what the confidence of a task rests on: the same number for all, and what was read of its facts."""
    without = sum(candidate.signal.evidence is None for candidate in group)
    if not without:
        return (_BY_RULE,)
    return _BY_RULE, f"no log, annotation or conversation was read of {without} of {len(group)} facts"


def _refs(group: Iterable[Candidate]) -> tuple[str, ...]:
    return tuple(candidate.signal.ref for candidate in group)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
