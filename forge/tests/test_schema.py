"""The forge's GraphQL schema is a part of GitHub's."""

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
)

from github_schemas import schema_file
from squire_forge.graph import schema


@pytest.fixture(scope="module")
def official() -> GraphQLSchema:
    text = schema_file("graphql-schema/schema.graphql").read_text()
    # GitHub's own file defines a field twice, which the library would refuse.
    return build_schema(text, assume_valid_sdl=True)


def _own_types() -> list[str]:
    return [name for name in schema().type_map if not name.startswith("__")]


@pytest.mark.slow
@pytest.mark.parametrize("name", _own_types())
def test_every_type_is_githubs(name: str, official: GraphQLSchema) -> None:
    ours, official_type = schema().type_map[name], official.type_map.get(name)
    assert type(ours) is type(official_type), f"{name} is not a type of GitHub's, or of another kind"
    if isinstance(ours, GraphQLEnumType) and isinstance(official_type, GraphQLEnumType):
        assert set(ours.values) == set(official_type.values)
    if isinstance(ours, GraphQLUnionType) and isinstance(official_type, GraphQLUnionType):
        assert {item.name for item in ours.types} <= {item.name for item in official_type.types}
    if isinstance(ours, GraphQLObjectType | GraphQLInterfaceType) and isinstance(
        official_type, GraphQLObjectType | GraphQLInterfaceType
    ):
        assert {item.name for item in ours.interfaces} <= {item.name for item in official_type.interfaces}
        for field_name, field in ours.fields.items():
            other = official_type.fields[field_name]
            assert str(field.type) == str(other.type), f"{name}.{field_name}"
            for argument_name, argument in field.args.items():
                assert str(argument.type) == str(other.args[argument_name].type), (
                    f"{name}.{field_name}({argument_name}:)"
                )
            needed = {item for item, argument in other.args.items() if is_required_argument(argument)}
            assert needed <= set(field.args)
    if isinstance(ours, GraphQLInputObjectType) and isinstance(official_type, GraphQLInputObjectType):
        assert {key: str(item.type) for key, item in ours.fields.items()} == {
            key: str(official_type.fields[key].type) for key in ours.fields
        }
