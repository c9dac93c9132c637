"""Judges what strangers made in a child process with limits, so that no input can take the caller down with it.

`run_judgement` calls a function there. The child's death is a verdict with a name, and what it answers is read as
values only: a child that was taken over can lie about its input, or answer what takes long to read, and do
nothing else.
"""

import contextlib
import io
import json
import os
import pickle
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from squire_pipelines.bounded_process import ProcessLimits, ProcessOutput, run_bounded
from squire_pipelines.errors import JudgementError, SquireError, rebuild_error

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"
_PASSED_ON = ("PATH", "TMPDIR", "LANG", "LC_ALL")
_NO_ROOM = 96
"""The exit code of a child that has no memory left to say so."""
_VALUES = {
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "OrderedDict"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("uuid", "UUID"),
}


class JudgementVerdict(StrEnum):
    """How a child ended that gave no answer: `JudgementError.verdict`."""

    TOO_MUCH_MEMORY = "too_much_memory"
    TOO_MUCH_TIME = "too_much_time"
    TOO_MUCH_OUTPUT = "too_much_output"
    DIED = "died"


_SENTENCES = {
    JudgementVerdict.TOO_MUCH_MEMORY: "needs more memory than it may have",
    JudgementVerdict.TOO_MUCH_TIME: "takes longer to judge than it may",
    JudgementVerdict.TOO_MUCH_OUTPUT: "holds more than can be looked at",
    JudgementVerdict.DIED: "ended the process that judged it",
}


@dataclass(frozen=True, slots=True)
class JudgementLimits:
    """What one judgement may take.

    Args:
        memory: Bytes of address space of the child. Programs that it starts have limits of their own.
        cpu_s: Seconds of processor, of the child and what it starts together.
        wall_s: Seconds until all of it is killed.
        output: Bytes of the answer.
    """

    memory: int = 2**30
    cpu_s: int = 20
    wall_s: float = 120.0
    output: int = 256 * 2**20


def run_judgement(
    subject: str,
    limits: JudgementLimits,
    function: Callable[_Parameters, _Answer],
    /,
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> _Answer:
    """Return what `function` returns for these arguments, called in a child of its own.

    Args:
        subject: What is judged, for the message of an error, such as "the agent's bundle".
        limits: What the child may take.
        function: A function of a module, with arguments that can be pickled. Its answer consists of values: numbers,
            texts, containers of them, times, paths, enumerations, frozen dataclasses and models of ours.
        args: Its arguments.
        kwargs: Its arguments by name.

    Raises:
        JudgementError: There is no answer; `verdict` is a `JudgementVerdict`.
        SquireError: What the function raised.
    """
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps(_limit_values(limits)).encode() + b"\n")
        pickle.dump((function, args, kwargs), request)
        request.seek(0)
        output = run_bounded(
            child_command(__name__),
            environment=child_environment(),
            stdin=request,
            limits=ProcessLimits(limits.wall_s, limits.output + 1024),
        )
    kind, answer = _read_answer(subject, output)
    if kind == "answer":
        return cast("_Answer", answer)
    if isinstance(answer, SquireError):
        raise answer
    raise _no_answer(subject, JudgementVerdict.DIED, str(answer))


def child_command(module: str) -> list[str]:
    """Return the command of a child that runs `main` of the module, found where this process finds it."""
    return [sys.executable, "-I", "-c", _START.format(module=module), json.dumps(sys.path)]


def child_environment() -> dict[str, str]:
    """Return all variables that a child gets: no secret is in any."""
    environment = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    return environment | {"MALLOC_ARENA_MAX": "2"}  # an arena takes 64 MB of address space


def read_values(data: bytes | bytearray) -> object:
    """Return what a child pickled, when it consists of values. Raises whatever a damaged pickle may raise."""
    return _ValueReader(io.BytesIO(data)).load()


def _limit_values(limits: JudgementLimits) -> dict[str, int]:
    return {"memory": limits.memory, "cpu_s": limits.cpu_s}


def _read_answer(subject: str, output: ProcessOutput) -> tuple[str, object]:
    if output.overflowed:
        raise _no_answer(subject, JudgementVerdict.TOO_MUCH_OUTPUT)
    if output.timed_out or output.exit_code == -signal.SIGKILL:  # the kernel's, when SIGXCPU did not do
        raise _no_answer(subject, JudgementVerdict.TOO_MUCH_TIME)
    if output.exit_code == _NO_ROOM:
        raise _no_answer(subject, JudgementVerdict.TOO_MUCH_MEMORY)
    try:
        if output.exit_code == 0:
            kind, answer = cast("tuple[str, object]", read_values(output.stdout))
            return str(kind), answer
    except Exception as error:  # a damaged pickle may raise anything: each is the verdict that the child has died
        raise _no_answer(subject, JudgementVerdict.DIED, f"its answer cannot be read: {error!r}"[:500]) from error
    last_words = output.stderr.decode(errors="replace")[-2000:]
    verdict = JudgementVerdict.TOO_MUCH_MEMORY if "MemoryError" in last_words else JudgementVerdict.DIED
    raise _no_answer(subject, verdict, f"exit code {output.exit_code}: {last_words}")


def _no_answer(subject: str, verdict: JudgementVerdict, detail: str = "") -> JudgementError:
    context = {"detail": detail} if detail else {}
    return JudgementError(f"{subject} {_SENTENCES[verdict]}", verdict=verdict.value, context=context)


class _ValueReader(pickle.Unpickler):
    """Reads an answer, in which only classes are named that hold values and do nothing when they are made.

    A pickle can set attributes of whatever it names. So enumerations and functions are handed out as a new object each
    time, which makes the value; other classes take no state themselves.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what makes the value, or raise UnpicklingError."""
        if (module, name) == ("pathlib", "PosixPath"):
            return partial(Path)
        if (module, name) in _VALUES:
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):  # by which the first Pythons 3.11 name an enumeration's member
            return partial(_member)
        if module.startswith("squire_pipelines."):
            item = super().find_class(module, name)
            if item is rebuild_error:
                return partial(rebuild_error)
            if isinstance(item, type) and issubclass(item, Enum):
                return _Enumeration(item)
            if isinstance(item, type) and _holds_values(item):
                return item
        raise pickle.UnpicklingError(f"{module}.{name} is no value")


class _Enumeration:
    """Makes members of an enumeration by their values."""

    def __init__(self, kind: type[Enum]) -> None:
        self.kind = kind

    def __call__(self, value: object) -> Enum:
        return self.kind(value)


def _member(kind: object, name: object) -> Enum:
    """Return an enumeration's member: all that an answer may ask `getattr` for. Raises UnpicklingError."""
    if isinstance(kind, _Enumeration) and isinstance(name, str) and name in kind.kind.__members__:
        return kind.kind.__members__[name]
    raise pickle.UnpicklingError(f"{name!r} of {kind!r} is no value")


def _holds_values(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    is_model = getattr(kind, "model_config", {}).get("frozen", False)
    is_value = issubclass(kind, SquireError) or is_model or (parameters is not None and parameters.frozen)
    # A class that says how its objects take their state takes none itself.
    return is_value and hasattr(kind, "__setstate__")


def main() -> NoReturn:
    """Answer the request on standard input: what the child does."""
    signal.signal(signal.SIGTERM, _end)
    # What the function prints is not the answer.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(0, "rb") as request:
        _lower_limits(**json.loads(request.readline()))
        try:
            result: tuple[str, object] = "answer", _call(request)
        except SquireError as error:
            error.__cause__ = error.__context__ = None
            result = "error", error.with_traceback(None)
        except MemoryError:
            os._exit(_NO_ROOM)
        except Exception:  # noqa: BLE001 - told to the caller, who raises it
            result = "failure", traceback.format_exc()[-4000:]
    try:
        with os.fdopen(answer_fd, "wb") as file:
            pickle.dump(result, file)
    except MemoryError:
        os._exit(_NO_ROOM)
    # Without the interpreter's own end, which frees a large answer object by object.
    os._exit(0)


def _call(request: io.BufferedReader) -> object:
    function, arguments, named = pickle.load(request)  # noqa: S301 - written by our own parent
    return function(*arguments, **named)


def _lower_limits(*, memory: int, cpu_s: int) -> None:
    # Only the soft limits: git, which the function may start, has a limit of memory of its own that may be higher.
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu_s)):
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of the address space
            resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end(_number: int, _frame: object) -> NoReturn:
    """End as an exception does, so that a program that the function started is ended too."""
    raise SystemExit(1)
