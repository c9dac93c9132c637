"""The forge's GraphQL schema is a part of GitHub's, and answers what our client asks."""

from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_required_argument,
    parse,
    validate,
)

import squire_pipelines.github
from squire_forge.graph import schema
from squire_pipelines.github.client import load_query
from tests.support.github_schemas import schema_file

QUERIES = sorted(
    path.stem
    for path in (Path(squire_pipelines.github.__file__).parent / "queries").glob("*.graphql")
    if path.read_text().lstrip().startswith(("query", "mutation", "#import"))
    and any(kind in path.read_text() for kind in ("query ", "mutation "))
)


@pytest.fixture(scope="module")
def official() -> GraphQLSchema:
    text = schema_file("graphql-schema/schema.graphql").read_text()
    # GitHub's own file defines a field twice, which the library would refuse.
    return build_schema(text, assume_valid_sdl=True)


def _own_types() -> list[str]:
    return [name for name in schema().type_map if not name.startswith("__")]


@pytest.mark.parametrize("name", _own_types())
def test_every_type_is_githubs(name: str, official: GraphQLSchema) -> None:
    ours, theirs = schema().type_map[name], official.type_map.get(name)
    assert type(ours) is type(theirs), f"{name} is not a type of GitHub's, or of another kind"
    if isinstance(ours, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
        assert set(ours.values) == set(theirs.values)
    if isinstance(ours, GraphQLUnionType) and isinstance(theirs, GraphQLUnionType):
        assert {each.name for each in ours.types} <= {each.name for each in theirs.types}
    if isinstance(ours, GraphQLObjectType | GraphQLInterfaceType) and isinstance(
        theirs, GraphQLObjectType | GraphQLInterfaceType
    ):
        assert {each.name for each in ours.interfaces} <= {each.name for each in theirs.interfaces}
        for field_name, field in ours.fields.items():
            other = theirs.fields[field_name]
            assert str(field.type) == str(other.type), f"{name}.{field_name}"
            for argument_name, argument in field.args.items():
                assert str(argument.type) == str(other.args[argument_name].type), (
                    f"{name}.{field_name}({argument_name}:)"
                )
            needed = {each for each, argument in other.args.items() if is_required_argument(argument)}
            assert needed <= set(field.args)
    if isinstance(ours, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
        assert {key: str(each.type) for key, each in ours.fields.items()} == {
            key: str(theirs.fields[key].type) for key in ours.fields
        }


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_of_the_client_is_understood(name: str) -> None:
    assert validate(schema(), parse(load_query(name))) == []


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_of_the_client_is_understood_by_github(name: str, official: GraphQLSchema) -> None:
    assert validate(official, parse(load_query(name))) == []


def test_the_clients_queries_were_found() -> None:
    assert "pull_requests" in QUERIES
