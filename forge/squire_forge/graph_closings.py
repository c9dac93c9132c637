"""GraphQL resolvers of how pull requests and issues were closed, and of the issues that a pull request closes."""

import re
from typing import Any

from squire_forge import store
from squire_forge.connections import page
from squire_forge.graph_core import Commit, Context, on, paging
from squire_forge.records import Account, Closing, Pull, Ticket

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d{1,9})\b", re.IGNORECASE)


@on("ClosedEvent", "closer")
def _closer(closing: Closing, context: Context) -> Pull | Commit | None:
    if closing.by_pull is not None:
        return store.pull(context.view.con, closing.ticket.repository, closing.by_pull)
    return Commit(closing.ticket.repository, closing.by_commit) if closing.by_commit is not None else None


@on("PullRequest", "mergedBy")
def _merged_by(pull: Pull, context: Context) -> Account | None:
    return None if pull.merged_by is None else store.account(context.view.con, pull.merged_by)


@on("PullRequest", "closingIssuesReferences")
def _closing_issues(pull: Pull, context: Context, **arguments: Any) -> Any:
    tickets = (
        store.ticket(context.view.con, pull.repository, int(number))
        for number in dict.fromkeys(_CLOSES.findall(pull.body))
    )
    issues: list[Ticket] = [ticket for ticket in tickets if ticket is not None and not isinstance(ticket, Pull)]
    return page(issues, "closingIssuesReferences", **paging(arguments))
