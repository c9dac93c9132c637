"""One query for the first page of all that a repository's sources need, and its parts as the single queries answer.

Pure. Which query is sent, and when the single ones take its place, is decided in `collecting`.
"""

from collections.abc import Iterable, Mapping

from squire_pipelines.domain.signals import Source
from squire_pipelines.github.protocol import FieldError, GraphQLAnswer

QUERY = "repository_signals"
_FIELD_OF_QUERY: Mapping[str, str] = {
    "pull_requests": "pullRequests",
    "issues": "issues",
    "default_branch_checks": "defaultBranchRef",
    "task_folder": "taskFolder",
}
_QUERIES_OF_SOURCE: Mapping[Source, frozenset[str]] = {
    Source.OPEN_PRS: frozenset({"pull_requests"}),
    Source.REVIEW_FINDINGS: frozenset({"pull_requests"}),
    Source.FAILED_CI: frozenset({"pull_requests", "default_branch_checks"}),
    Source.OPEN_ISSUES: frozenset({"issues"}),
    Source.REPOSITORY_TASKS: frozenset({"task_folder"}),
}


def saves_requests(sources: Iterable[Source]) -> bool:
    """Return whether these sources would ask more than one of the single queries."""
    return len(frozenset[str]().union(*(_QUERIES_OF_SOURCE[source] for source in sources))) > 1


def is_first_page(query: str, variables: Mapping[str, object]) -> bool:
    """Return whether a single query, with these variables, asks for what the one query asks for too."""
    return query in _FIELD_OF_QUERY and variables.get("after") is None and variables.get("checksAfter") is None


def part_of(answer: GraphQLAnswer, query: str) -> GraphQLAnswer:
    """Return what the single query would have answered: its field of the repository, and the errors about it."""
    content = answer.data.get("repository")
    if isinstance(content, dict):
        others = {field for name, field in _FIELD_OF_QUERY.items() if name != query}
        content = {name: value for name, value in content.items() if name not in others}
    errors = tuple(failed for failed in answer.errors if _concerns(failed, _FIELD_OF_QUERY[query]))
    return GraphQLAnswer({"repository": content}, errors)


def _concerns(failed: FieldError, field: str) -> bool:
    """Return whether an error is about this field, or about the repository as a whole."""
    named = failed.path[1] if len(failed.path) > 1 else None
    return named == field or named not in _FIELD_OF_QUERY.values()
