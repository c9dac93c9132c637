"""What GitHub may leave out of a good answer, by its own schema, costs the item that it belongs to and nothing else."""

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    get_named_type,
    parse,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from squire_pipelines.domain.signals import AnySource, Collection, CollectionStatus
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import (
    API_URL,
    FakeGitHub,
    answer,
    check_run,
    commit,
    issue,
    page,
    pull_request,
    repository,
    status_context,
    thread,
)
from tests.support.github_schemas import schema_file

Path = tuple[str | int, ...]


def good_answer() -> dict[str, Any]:
    """Two of everything: the first may be spoilt, the second must be seen."""

    def pull(number: int) -> dict[str, Any]:
        head = commit([check_run(f"lint{number}"), status_context(f"old{number}")])
        return pull_request(number, threads=page([thread(f"T{number}")]), head=head)

    branch = {"name": "main", "target": {"__typename": "Commit", **commit([check_run("a"), check_run("b")])}}
    return repository(
        defaultBranchRef=branch,
        pullRequests=page([pull(1), pull(2)]),
        issues=page([issue(10), issue(11)]),
    )


def _condition(node: InlineFragmentNode) -> str | None:
    return node.type_condition.name.value if node.type_condition else None


class NullablePaths:
    """Where, in an answer to a query, the schema permits null."""

    def __init__(self, schema: GraphQLSchema, query: str) -> None:
        definitions = parse(query).definitions
        self._schema = schema
        self._fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}
        self._operation = next(node for node in definitions if isinstance(node, OperationDefinitionNode))

    def of(self, data: dict[str, Any]) -> list[Path]:
        assert self._schema.query_type
        return list(self._walk(data, self._schema.query_type, self._operation.selection_set, ()))[1:]

    def _fields(self, selections: SelectionSetNode, kind: str) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                yield from self._fields(self._fragments[node.name.value].selection_set, kind)
            elif (
                isinstance(node, InlineFragmentNode) and node.type_condition and node.type_condition.name.value == kind
            ):
                yield from self._fields(node.selection_set, kind)

    def _walk(self, value: Any, kind: Any, selections: SelectionSetNode | None, path: Path) -> Iterator[Path]:
        if not isinstance(kind, GraphQLNonNull):
            yield path
        if isinstance(value, list):
            inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
            for number, item in enumerate(value):
                yield from self._walk(item, inner.of_type, selections, (*path, number))
        elif isinstance(value, dict) and selections:
            named = get_named_type(kind)
            concrete: Any = self._schema.get_type(value.get("__typename", named.name))
            for node in self._fields(selections, concrete.name):
                name = node.name.value
                if name in value and name != "__typename":
                    kind_of_field = concrete.fields[name].type
                    yield from self._walk(value[name], kind_of_field, node.selection_set, (*path, name))


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(schema_file("graphql-schema/schema.graphql").read_text(encoding="utf-8"), assume_valid=True)


@pytest.fixture(scope="module")
def paths(schema: GraphQLSchema) -> list[Path]:
    permitted = NullablePaths(schema, load_query("repository_signals")).of({"repository": good_answer()})
    return [path for path in permitted if path != ("repository",)]  # without it there is no such repository


def without(data: dict[str, Any], gaps: set[Path]) -> dict[str, Any]:
    spoilt = copy.deepcopy(data)
    for gap in sorted(gaps, key=len, reverse=True):
        place: Any = spoilt
        for step in gap[:-1]:
            place = place[step]
        place[gap[-1]] = None
    return spoilt


def collect(data: dict[str, Any]) -> dict[AnySource, Collection]:
    async def read() -> tuple[Collection, ...]:
        fake = FakeGitHub({"RepositorySignals": answer(data)})
        async with GitHubClient(
            GitHubSettings(api_url=API_URL), "ghp_" + "x" * 36, http=httpx.AsyncClient(transport=fake)
        ) as client:
            return await collect_repository(client, "o/r")

    return {collection.source: collection for collection in asyncio.run(read())}


@pytest.mark.slow
def test_the_schema_permits_null_in_many_places(paths: list[Path]) -> None:
    assert len(paths) > 50
    assert ("repository", "issues", "nodes", 0) in paths
    assert ("repository", "pullRequests", "nodes", 1, "author") in paths


@pytest.mark.slow
def test_whatever_is_missing_costs_no_repository_and_no_other_item(paths: list[Path]) -> None:
    whole = {source: {s.ref for s in c.signals} for source, c in collect({"repository": good_answer()}).items()}
    spoilable = [path for path in paths if not _is_of_second(path)]

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.sampled_from(spoilable), min_size=1, max_size=3))
    def check(gaps: set[Path]) -> None:
        collections = collect(without({"repository": good_answer()}, gaps))
        assert {c.status for c in collections.values()} == {CollectionStatus.FRESH}, gaps
        for source, collection in collections.items():
            missing = whole[source] - {signal.ref for signal in collection.signals}
            if not any(len(gap) <= 3 or gap[-1] == "nodes" for gap in gaps):
                assert not any(_is_second(ref) for ref in missing), (gaps, missing)

    check()


def _is_of_second(path: Path) -> bool:
    return len(path) > 3 and path[3] == 1


def _is_second(ref: str) -> bool:
    return ref in {"open_pr:2", "open_issue:11", "review_finding:T2"} or ":#2:" in ref
