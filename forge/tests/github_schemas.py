"""GitHub's published schemas, which `scripts/github-schemas.sh` installs and tests compare the forge with."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

FOLDER = Path(__file__).parents[2] / "build/github-schemas/node_modules/@octokit"


def schema_file(relative: str) -> Path:
    """Return a file of the packages under `@octokit`; skip the test when it is missing, or fail where none may skip."""
    path = FOLDER / relative
    if not path.is_file():
        reason = f"{path} is missing: run scripts/github-schemas.sh"
        if os.environ.get("SQUIRE_TEST_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@cache
def _description() -> dict[str, Any]:
    description: dict[str, Any] = json.loads(schema_file("openapi/generated/api.github.com.json").read_text())
    return description


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's terms; references stay."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    converted = {key: _as_json_schema(value) for key, value in node.items() if key not in {"nullable", "example"}}
    if node.get("nullable") is True:
        # An `enum` beside `nullable` need not list null in OpenAPI.
        return {"anyOf": [converted, {"type": "null"}]}
    return converted


@cache
def _components() -> dict[str, Any]:
    schemas = _as_json_schema(_description()["components"]["schemas"])
    return {"components": {"schemas": schemas}}


def conforms(response: httpx.Response, method: str, path: str) -> None:
    """Hold a response against the description of this operation and its status."""
    description = _description()["paths"][path][method.lower()]["responses"][str(response.status_code)]
    if "$ref" in description:
        description = _description()["components"]["responses"][description["$ref"].rsplit("/", 1)[1]]
    schema = _as_json_schema(description["content"]["application/json"]["schema"])
    jsonschema.Draft202012Validator({**schema, **_components()}).validate(response.json())
