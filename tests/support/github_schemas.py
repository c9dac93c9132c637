"""GitHub's published schemas, as `scripts/github-schemas.sh` installs them, for tests that compare us with them."""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/github-schemas/node_modules/@octokit"


def schema_file(relative: str) -> Path:
    """A file of the packages under `@octokit`. Skips the test when it is missing, or fails it where none may skip."""
    path = FOLDER / relative
    if not path.is_file():
        reason = f"{path.relative_to(ROOT)} is missing: run scripts/github-schemas.sh"
        if os.environ.get("SQUIRE_TEST_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@cache
def _description() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(schema_file("openapi/generated/api.github.com.json").read_bytes())
    return content


@cache
def _components() -> dict[str, Any]:
    return {"schemas": _with_null(_description()["components"]["schemas"])}


def _with_null(node: Any) -> Any:
    """Return a description with OpenAPI's `nullable` in JSON Schema's terms."""
    if isinstance(node, list):
        return [_with_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _with_null(value) for key, value in node.items()}
    return {"anyOf": [converted, {"type": "null"}]} if node.get("nullable") is True else converted


def request_problems(request: httpx.Request) -> list[str]:
    """Return what of a request GitHub does not publish."""
    openapi = _description()
    path, method = request.url.path.removeprefix("/api/v3"), request.method.lower()
    matching = [
        entry[method]
        for template, entry in openapi["paths"].items()
        # A branch, the last part of its path, may have slashes.
        if method in entry
        and re.fullmatch(re.sub(r"\{branch\}", "[^?]+", re.sub(r"\{(?!branch)\w+\}", "[^/]+", template)), path)
    ]
    if not matching:
        return [f"{request.method} {path} is none of GitHub's"]
    operation = min(matching, key=lambda entry: len(entry.get("parameters", ())))
    shared = openapi["components"]["parameters"]
    known = {
        (shared[entry["$ref"].rsplit("/", 1)[1]] if "$ref" in entry else entry)["name"]
        for entry in operation.get("parameters", ())
    }
    unknown = [f"{name} is no parameter of {path}" for name in request.url.params if name not in known]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        schema = {**_with_null({**content["schema"], "additionalProperties": False}), "components": _components()}
        errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(request.content))
        unknown += [error.message for error in errors]
    return unknown
