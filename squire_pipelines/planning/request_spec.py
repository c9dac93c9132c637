"""A person's request as a task: its words as they were given, with no planner in between. Pure."""

from squire_pipelines.domain import terminal_text
from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.tasks import Priority, TaskKind, TaskSpec, Verification
from squire_pipelines.planning.quoting import one_line

MAX_TITLE_CHARS = 200
MAX_TEXT_CHARS = 50_000
_TITLE_FROM_TEXT = 80
_AS_THE_SETTINGS_SAY = Verification()
_BY_PERSON = "1.0: somebody who may give tasks wrote it"


def title_from(text: str) -> str:
    """Return the title of a request without one: its text's first line, cut."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return terminal_text.one_line(first, limit=_TITLE_FROM_TEXT) or "A request"


def request_spec(
    title: str,
    text: str,
    *,
    key: str = "request",
    base_branch: str,
    priority: Priority = Priority.HIGH,
    signals: tuple[str, ...] = (),
    allow_protected: tuple[str, ...] = (),
    agent: AgentOrder | None = None,
    verification: Verification = _AS_THE_SETTINGS_SAY,
) -> TaskSpec:
    """Return the task that does what a person wrote.

    Args:
        title: In one line; a longer one is cut.
        text: The order, at most `MAX_TEXT_CHARS` characters; the title where it is empty. Its author may give Squire
            tasks, so that it is an instruction and stands unquoted.
        key: The task's name in a plan.
        base_branch: Where its pull request goes into.
        priority: How soon it should run.
        signals: Refs of the facts that it answers.
        allow_protected: The protected paths that the person named.
        agent: The agent that the person wants.
        verification: The checks that the person asks for or leaves out.
    """
    return TaskSpec(
        key=key,
        title=one_line(title, MAX_TITLE_CHARS),
        kind=TaskKind.MANUAL,
        prompt=text if text.strip() else title or "?",
        priority=priority,
        confidence_factors=(_BY_PERSON,),
        base_branch=base_branch,
        signals=signals,
        evidence=signals,
        allow_protected=allow_protected,
        agent=agent,
        verification=verification,
    )
