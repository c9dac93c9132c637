"""Git over HTTP through `git http-backend`: access control, streamed bodies, and the record of pushes."""

import asyncio
import base64
import binascii
import contextlib
import os
import signal
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from squire_forge import settling, store
from squire_forge.answers import same_secret
from squire_forge.errors import RefusedError
from squire_forge.git import git_environment
from squire_forge.records import Repository
from squire_forge.world import VIEWER_LOGIN, World

_CHUNK = 65_536
_BUFFER = 4_194_304  # the part of an answer that may wait while the request is still being received
_MAX_HEADER_LINES = 50
REQUEST_TIMEOUT_S = 600.0
_SERVICES = ("git-upload-pack", "git-receive-pack")


class _TooLargeError(RefusedError):
    """The request's body is larger than the forge takes."""


class GitHttp:
    """`/{owner}/{repo}.git/…` over one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def endpoint(self, request: Request) -> Response:
        """Serve one request of git's smart protocol."""
        rest = request.path_params["rest"]
        service = request.query_params.get("service", "") if rest == "info/refs" else rest
        method = "GET" if rest == "info/refs" else "POST"
        if service not in _SERVICES:
            return PlainTextResponse("Please upgrade your git client.\n", 403 if rest == "info/refs" else 404)
        if request.method != method:
            return PlainTextResponse("Method Not Allowed\n", 405)
        repository = await run_in_threadpool(self._find, request)
        push = service == "git-receive-pack"
        if not self._authenticated(request) and (
            push or repository is None or repository.private or "authorization" in request.headers
        ):
            # As GitHub does: a repository that is not there looks like one that is not yours.
            return PlainTextResponse(
                "Authentication failed\n", 401, headers={"www-authenticate": 'Basic realm="squire-forge"'}
            )
        if repository is None:
            return PlainTextResponse("Repository not found.\n", 404)
        if push and repository.archived:
            return PlainTextResponse("This repository was archived so it is read-only.\n", 403)
        return await self._serve(request, repository, rest, pushes=rest == "git-receive-pack")

    def _find(self, request: Request) -> Repository | None:
        with self._world.database.reading() as con:
            return store.find_repository(con, request.path_params["owner"], request.path_params["repo"])

    def _authenticated(self, request: Request) -> bool:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            password = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
        name = request.path_params["repo"]
        pushes = "git-receive-pack" in (request.query_params.get("service"), request.path_params["rest"])
        return same_secret(password, self._world.config.token) or self._world.apps.allows(password, name, write=pushes)

    async def _serve(self, request: Request, repository: Repository, rest: str, *, pushes: bool) -> Response:
        declared = request.headers.get("content-length", "0")
        limit = self._world.config.max_body_bytes
        if not declared.isdigit() or int(declared) > limit:
            return PlainTextResponse(f"The request is larger than {limit} bytes.\n", 413)
        backend = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=self._environment(request, repository, rest),
            stdin=asyncio.subprocess.DEVNULL if request.method == "GET" else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_BUFFER,
            start_new_session=True,  # so that what `git` starts for this ends with it
        )
        async with contextlib.AsyncExitStack() as stack:
            # Runs also when the client disconnects or time runs out: pushes that git has accepted are announced.
            stack.push_async_callback(self._end, backend, repository, pushes=pushes)
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await _feed(request, backend, limit)
                    status, headers = await _read_head(backend)
            except _TooLargeError:
                return PlainTextResponse(f"The request is larger than {limit} bytes.\n", 413)
            stack.pop_all()
        return StreamingResponse(self._stream(backend, repository, pushes=pushes), status, headers)

    def _environment(self, request: Request, repository: Repository, rest: str) -> dict[str, str]:
        headers = request.headers
        # Without CONTENT_LENGTH: given one, git waits for so many bytes, and one whose client is gone reads the end of
        # its input again and again, for ever.
        optional = {
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding"),
            "GIT_PROTOCOL": headers.get("git-protocol"),
            "REMOTE_USER": VIEWER_LOGIN if self._authenticated(request) else None,
        }
        return {
            **git_environment(),
            "GIT_PROJECT_ROOT": str(self._world.repositories_dir),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository.full_name}.git/{rest}",
            "QUERY_STRING": request.url.query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_ADDR": "127.0.0.1",
            **{name: value for name, value in optional.items() if value is not None},
        }

    async def _stream(
        self, backend: asyncio.subprocess.Process, repository: Repository, *, pushes: bool
    ) -> AsyncIterator[bytes]:
        complete = False
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                while chunk := await _output(backend).read(_CHUNK):
                    yield chunk
            await backend.wait()
            if pushes:
                # The push is recorded before the client's `git push` returns.
                await run_in_threadpool(settling.announce, self._world, repository.id)
            complete = True
        finally:
            if not complete:
                _kill(backend)
            if pushes:
                self._world.touch(repository.id)

    async def _end(self, backend: asyncio.subprocess.Process, repository: Repository, *, pushes: bool) -> None:
        _kill(backend)
        if pushes:
            self._world.touch(repository.id)
        await backend.wait()


def _output(backend: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if backend.stdout is None:
        raise RuntimeError("the backend was started without a pipe")
    return backend.stdout


def _kill(backend: asyncio.subprocess.Process) -> None:
    if backend.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(backend.pid, signal.SIGKILL)


async def _feed(request: Request, backend: asyncio.subprocess.Process, limit: int) -> None:
    pipe = backend.stdin
    if pipe is None:
        return
    total = 0
    try:
        async for chunk in request.stream():
            total += len(chunk)
            if total > limit:
                raise _TooLargeError(f"the request is larger than {limit} bytes")
            # A backend may refuse and end before it has read everything. Its answer says why: drop the rest.
            if chunk and not pipe.is_closing():
                pipe.write(chunk)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await pipe.drain()
    finally:
        if not pipe.is_closing():
            pipe.close()


async def _read_head(backend: asyncio.subprocess.Process) -> tuple[int, dict[str, str]]:
    status, headers = 200, {}
    for _ in range(_MAX_HEADER_LINES):
        line = (await _output(backend).readline()).decode("latin-1").rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return (status, headers) if headers or status != 200 else (500, {})  # noqa: PLR2004 - the status itself says it best
