"""Our queries against GitHub's own published schema, and against the part of it that the forge serves."""

from importlib import resources

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from squire_pipelines.github.looking import batch_query as look_query
from squire_pipelines.github.pull_request_reports import batch_query
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.repository_tasks import files_query
from tests.support.github_schemas import schema_file

FOLDER = resources.files("squire_pipelines.github") / "queries"
QUERIES = sorted(
    name.removesuffix(".graphql")
    for name in (entry.name for entry in FOLDER.iterdir())
    if name.endswith(".graphql") and "\nfragment " not in "\n" + (FOLDER / name).read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def official() -> GraphQLSchema:
    return build_schema(schema_file("graphql-schema/schema.graphql").read_text(encoding="utf-8"), assume_valid=True)


@pytest.fixture(scope="module")
def forge() -> GraphQLSchema:
    sdl = resources.files("squire_forge") / "schema.graphql"
    return build_schema(sdl.read_text(encoding="utf-8"))


def errors_of(schema: GraphQLSchema, text: str) -> list[str]:
    return [error.message for error in validate(schema, parse(text))]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUERIES)
def test_query_is_valid_in_githubs_schema(official: GraphQLSchema, name: str) -> None:
    assert errors_of(official, load_query(name)) == []


@pytest.mark.parametrize("name", QUERIES)
def test_query_is_valid_in_the_demo_forges_schema(forge: GraphQLSchema, name: str) -> None:
    assert errors_of(forge, load_query(name)) == []


def test_batch_of_reports_is_valid_in_both_schemas(official: GraphQLSchema, forge: GraphQLSchema) -> None:
    text = batch_query([[1, 22], [333]])
    assert errors_of(official, text) == []
    assert errors_of(forge, text) == []


def test_batch_of_looks_is_valid_in_both_schemas(official: GraphQLSchema, forge: GraphQLSchema) -> None:
    text = look_query(3)
    assert errors_of(official, text) == []
    assert errors_of(forge, text) == []


def test_query_of_task_files_is_valid_in_both_schemas(official: GraphQLSchema, forge: GraphQLSchema) -> None:
    text = files_query(3)
    assert errors_of(official, text) == []
    assert errors_of(forge, text) == []


def test_a_wrong_field_would_be_found(official: GraphQLSchema) -> None:
    assert errors_of(official, load_query("repository").replace("isEmpty", "isEmtpy"))
