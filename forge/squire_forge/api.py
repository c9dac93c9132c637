"""The GraphQL endpoint: it checks the token, counts the cost, injects faults and shapes errors as GitHub does."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from squire_forge import answers, graph, operations
from squire_forge.answers import ApiError
from squire_forge.faults import Fault, Faults
from squire_forge.limits import RateLimits, query_cost
from squire_forge.world import View, World

_KEPT_QUERIES = 200


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815 - the protocol's name


class GraphQL:
    """`POST /api/graphql` over one world."""

    def __init__(self, world: World, limits: RateLimits, faults: Faults) -> None:
        self._world = world
        self._limits = limits
        self._faults = faults
        self._schema: GraphQLSchema = graph.schema()
        self._read = lru_cache(maxsize=_KEPT_QUERIES)(self._read_document)
        with world.database.writing() as con:
            operations.viewer(View(world, con))

    async def endpoint(self, request: Request) -> Response:
        """Answer one query."""
        try:
            answers.require_token(request, self._world)
            query = answers.parse(_Query, await answers.read_json(request), "Query")
        except ApiError as error:
            return answers.decorate(error.response(), self._limits, "graphql")
        fault = self._faults.take_for_operation(self._operation_name(query))
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
        if fault is not None and fault.status is not None and not fault.after:
            return _fault_response(fault)
        body = await run_in_threadpool(self._answer, query)
        if fault is not None and fault.status is not None:
            return _fault_response(fault)
        return self._decorated(JSONResponse(body))

    def _decorated(self, response: Response) -> Response:
        decorated = answers.decorate(response, self._limits, "graphql")
        # `decorate` counts one request, but the query's cost was counted when it ran.
        quota = self._limits.spend("graphql", -1)
        decorated.headers["x-ratelimit-remaining"] = str(quota.remaining)
        decorated.headers["x-ratelimit-used"] = str(min(quota.used, quota.limit))
        return decorated

    def _read_document(self, text: str) -> tuple[DocumentNode | None, Sequence[GraphQLError]]:
        """Parse a query, and return what is wrong with it: clients ask the same again and again."""
        try:
            document = parse(text)
        except GraphQLError as error:
            return None, (error,)
        return document, tuple(validate(self._schema, document))

    def _operation_name(self, query: _Query) -> str:
        document, _ = self._read(query.query)
        operation = get_operation_ast(document, query.operationName) if document is not None else None
        return operation.name.value if operation is not None and operation.name is not None else ""

    def _answer(self, query: _Query) -> dict[str, object]:
        document, problems = self._read(query.query)
        if document is None or problems:
            return {"errors": [_error(problem) for problem in problems]}
        operation = get_operation_ast(document, query.operationName)
        if operation is None:
            return {"errors": [{"message": "An operation name is required"}]}
        return self._execute(query, document, operation)

    @contextlib.contextmanager
    def _connection(self, *, mutates: bool) -> Iterator[sqlite3.Connection]:
        if not mutates:
            with self._world.database.reading() as con:
                yield con
            return
        with self._world.lock, self._world.database.writing() as con:
            yield con

    def _execute(self, query: _Query, document: DocumentNode, operation: OperationDefinitionNode) -> dict[str, object]:
        variables: Mapping[str, Any] = query.variables or {}
        cost = query_cost(document, operation, variables)
        if self._limits.peek("graphql").remaining < cost:
            message = "API rate limit exceeded for user ID 1000001."
            return {"errors": [{"type": "RATE_LIMITED", "code": "graphql_rate_limit", "message": message}]}
        quota = self._limits.spend("graphql", cost)
        reset_at = datetime.fromtimestamp(quota.reset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        mutates = operation.operation is OperationType.MUTATION
        with self._connection(mutates=mutates) as con:
            context = graph.Context(view=View(self._world, con), quota=quota, cost=cost, reset_at=reset_at)
            result = graph.run(self._schema, document, variables, query.operationName, context)
        body: dict[str, object] = {"data": result.data}
        if result.errors:
            body["errors"] = [_error(error) for error in result.errors]
        return body


def _fault_response(fault: Fault) -> Response:
    kind = "application/json" if fault.body.startswith(("{", "[")) else "text/plain"
    return Response(fault.body, status_code=fault.status or 200, headers=dict(fault.headers), media_type=kind)


def _error(error: GraphQLError) -> dict[str, object]:
    shape: dict[str, object] = {}
    kind = getattr(error.original_error or error, "kind", None)
    if kind:
        shape["type"] = kind
    if error.path is not None:
        shape["path"] = list(error.path)
    if error.locations:
        shape["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    return {**shape, "message": error.message}
