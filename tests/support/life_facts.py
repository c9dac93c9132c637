"""What may have to hold at GitHub, or in the ledger, when a life has ended: by the names that scripts have for it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from squire_forge import store
from squire_pipelines.domain.dashboards import DASHBOARD_MARK, has_tick
from squire_pipelines.ledger.audit import audit_page
from tests.support.git_repository import git
from tests.support.life_definition import US
from tests.support.life_squire import LifeSquire
from tests.support.life_world import LifeForge

Fact = Callable[[LifeForge, LifeSquire], bool]


def dashboards(forge: LifeForge) -> list[str]:
    """Return the texts of our dashboards, which must be one at most."""
    with forge.world.database.reading() as con:
        issues = store.issues(con, forge.hosted(con))
    return [issue.body for issue in issues if DASHBOARD_MARK in issue.body and issue.author.login == US]


def _has_one_dashboard(forge: LifeForge, _: LifeSquire) -> bool:
    boards = dashboards(forge)
    return len(boards) == 1 and not has_tick(boards[0])


def _parents_of_merge(forge: LifeForge) -> int:
    return len(git(forge.bare, "log", "-1", "--format=%P", forge.pulls()[0].merge_sha or "").split())


def _has_audited(action: str, count: int) -> Fact:
    def audited(_: LifeForge, squire: LifeSquire) -> bool:
        with squire.ledger.read() as tx:
            return len(audit_page(tx, action=action)) == count

    return audited


FACTS: Mapping[str, Fact] = MappingProxyType(
    {
        "its merge has one parent": lambda forge, _: _parents_of_merge(forge) == 1,
        "its merge has two parents": lambda forge, _: _parents_of_merge(forge) == 2,
        "nobody has asked to merge it": lambda forge, _: not forge.is_to_be_merged(),
        "one dashboard without a tick": _has_one_dashboard,
        "one merge is audited": _has_audited("pull_request.merged", 1),
        "no merge is audited": _has_audited("pull_request.merged", 0),
        "one revert is audited": _has_audited("pull_request.revert_proposed", 1),
        "no revert is audited": _has_audited("pull_request.revert_proposed", 0),
        "one box is refused": _has_audited("box.refused", 1),
        "no box is refused": _has_audited("box.refused", 0),
        "its revert is open": lambda forge, _: forge.pull().title.startswith("Revert ") and not forge.pull().merged,
    }
)
"""By the name that a life's script has for it."""
