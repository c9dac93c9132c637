"""What people do to the dashboard of the repository: an issue of ours with boxes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from squire_forge import operations, store
from squire_forge.records import Ticket
from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from tests.support.life_world import Interruption, LifeForge


def _dashboard(forge: LifeForge) -> Ticket:
    with forge.world.database.reading() as con:
        issues = [issue for issue in store.issues(con, forge.hosted(con)) if DASHBOARD_MARK in issue.body]
    assert issues, "there is no dashboard"
    return issues[-1]


def is_shown(forge: LifeForge, action: str) -> bool:
    """Return whether there is a dashboard with a box that does this."""
    with forge.world.database.reading() as con:
        issues = [issue for issue in store.issues(con, forge.hosted(con)) if DASHBOARD_MARK in issue.body]
    return bool(issues and _boxes(issues[-1], action))


def _boxes(issue: Ticket, action: str) -> list[str]:
    return [line for line in issue.body.splitlines() if "<!-- squire box " in line and f" {action} " in line]


def _tick(forge: LifeForge, action: str, login: str = "mara", *, permission: str = "write") -> None:
    """Tick the last box that does this."""
    issue = _dashboard(forge)
    boxes = _boxes(issue, action)
    assert boxes, f"the dashboard has no box that does {action}"
    body = issue.body.replace(boxes[-1], boxes[-1].replace("[ ]", "[x]", 1))
    forge.act(login, permission=permission, number=issue.number, body=body)


def _write_into(forge: LifeForge) -> None:
    issue = _dashboard(forge)
    forge.act("omar", number=issue.number, body=f"{issue.body}\nMore.\n")


def _untick(forge: LifeForge) -> None:
    issue = _dashboard(forge)
    forge.act("mara", number=issue.number, body=issue.body.replace("[x]", "[ ]"))


def _as_it_is_written(action: str) -> Callable[[LifeForge], object]:
    """Tick a box between Squire's reading of the dashboard and its writing, which takes the tick away."""
    return lambda forge: forge.interruptions.append(
        Interruption(rf"^PATCH .*/issues/{_dashboard(forge).number}$", lambda: _tick(forge, action))
    )


def _set_state(forge: LifeForge, state: str) -> None:
    forge.clock.forward(1)
    with forge.world.lock, forge.world.database.writing() as con:
        view, issue = forge.view(con), store.ticket(con, forge.hosted(con), _dashboard(forge).number)
        assert issue is not None
        if state == "closed":
            operations.close(view, issue, forge.account(con, "mara"))
        else:
            store.touch_ticket(con, issue.id, forge.world.now(), state="open", closed_at=None)


DASHBOARD_ACTS: Mapping[str, Callable[[LifeForge], object]] = MappingProxyType(
    {
        "tick run": lambda forge: _tick(forge, "run"),
        "tick retry": lambda forge: _tick(forge, "retry"),
        "tick stop": lambda forge: _tick(forge, "stop"),
        "tick run as it is written": _as_it_is_written("run"),
        "tick retry as it is written": _as_it_is_written("retry"),
        "a stranger ticks run": lambda forge: _tick(forge, "run", "eve", permission="read"),
        "somebody writes into it": _write_into,
        "untick": _untick,
        "close the dashboard": lambda forge: _set_state(forge, "closed"),
        "reopen the dashboard": lambda forge: _set_state(forge, "open"),
        "writing the dashboard is refused once": lambda forge: forge.add_fault(r"^PATCH .*/issues/\d+$", status=502),
        "the dashboard's opening is lost": lambda forge: forge.add_fault(r"^POST .*/issues$", status=502, after=True),
    }
)
"""By the name that a life's script has for it."""
