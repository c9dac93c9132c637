"""GraphQL as GitHub serves it: the schema of `schema.graphql` over the records. `api` adds limits and faults."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLResolveInfo, GraphQLSchema, build_schema, execute_sync

from squire_forge import (
    graph_closings,
    graph_merging,
    graph_objects,
    graph_reactions,
    graph_repositories,
    graph_tickets,
)
from squire_forge.graph_core import RESOLVERS, Commit, Context
from squire_forge.records import (
    Account,
    BranchDeletion,
    CheckRun,
    Closing,
    CommitStatus,
    LabelEvent,
    MergeWishEnd,
    Pull,
    TicketEdit,
)
from squire_forge.world import node_id

# Importing them registers their resolvers.
__all__ = [
    "Context",
    "graph_closings",
    "graph_merging",
    "graph_objects",
    "graph_reactions",
    "graph_repositories",
    "graph_tickets",
    "run",
    "schema",
]

# Fields whose name at GitHub is not the name of our records' attribute.
_ATTRIBUTES: Mapping[tuple[str, str], str] = {
    ("Repository", "nameWithOwner"): "full_name",
    ("Repository", "isArchived"): "archived",
    ("Repository", "isPrivate"): "private",
    ("CheckRun", "checkSuite"): "suite",
    ("PullRequest", "authorAssociation"): "association",
    ("Issue", "authorAssociation"): "association",
    ("PullRequest", "isDraft"): "draft",
    ("PullRequest", "headRefName"): "head_ref",
    ("PullRequest", "headRefOid"): "head_sha",
    ("PullRequest", "baseRefName"): "base_ref",
    ("PullRequest", "baseRefOid"): "base_sha",
    ("PullRequestReviewComment", "lastEditedAt"): "edited_at",
    ("UserContentEdit", "diff"): "body",
    ("RenamedTitleEvent", "actor"): "editor",
    ("RenamedTitleEvent", "currentTitle"): "title",
    ("PullRequestReviewThread", "isResolved"): "resolved",
    ("PullRequestReviewThread", "isOutdated"): "outdated",
}

_TYPES: Mapping[type, str] = {
    Commit: "Commit",
    CheckRun: "CheckRun",
    CommitStatus: "StatusContext",
    Closing: "ClosedEvent",
    BranchDeletion: "HeadRefDeletedEvent",
    Pull: "PullRequest",
    graph_objects.Tree: "Tree",
    graph_objects.Blob: "Blob",
}


def schema() -> GraphQLSchema:
    """Return the forge's schema."""
    return build_schema(resources.files(__package__).joinpath("schema.graphql").read_text(encoding="utf-8"))


def run(
    built: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], operation: str | None, context: Context
) -> ExecutionResult:
    """Execute a query that was parsed and validated."""
    return execute_sync(
        built,
        document,
        context_value=context,
        variable_values=dict(variables),
        operation_name=operation,
        field_resolver=_resolve,
        type_resolver=_type_name,
    )


def _resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    place = (info.parent_type.name, info.field_name)
    if place in RESOLVERS:
        return RESOLVERS[place](source, info.context, **arguments)
    if info.field_name == "id":
        return node_id(info.parent_type.name, source.id)
    if info.field_name == "databaseId":
        return source.id
    name = _ATTRIBUTES.get(place) or re.sub(r"(?<!^)(?=[A-Z])", "_", info.field_name).lower()
    return source[name] if isinstance(source, dict) else getattr(source, name)


def _type_name(value: Any, _info: GraphQLResolveInfo, _type: Any) -> str:
    if isinstance(value, Account):
        return value.kind
    if isinstance(value, LabelEvent):
        return "UnlabeledEvent" if value.removed else "LabeledEvent"
    if isinstance(value, MergeWishEnd):
        return "AutoMergeDisabledEvent" if value.kind == "auto" else "RemovedFromMergeQueueEvent"
    if isinstance(value, TicketEdit):
        return "RenamedTitleEvent"
    return _TYPES[type(value)]
