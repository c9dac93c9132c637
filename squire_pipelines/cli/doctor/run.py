"""Runs the checks of `squire doctor`: some at a time, each with a time limit, so that a slow one keeps none waiting."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import SquireError

MAX_AT_ONCE = 6
DEFAULT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One check of the report.

    Args:
        name: Of its lines, or how they begin.
        purpose: What it looks at, as the reference page says it.
        remedy: What is done about a line that is not ok, likewise.
        run: Yields the lines; it may raise SquireError.
        timeout_s: After which the report goes on without the rest of its lines.
    """

    name: str
    purpose: str
    remedy: str
    run: Callable[[CliContext], Iterable[Diagnosis]]
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class _Ended:
    """The end of a check; `error` is what it raised and should not have."""

    error: BaseException | None = None


_Message = tuple[int, Diagnosis | SquireError | _Ended]


def run_checks(
    checks: Sequence[DoctorCheck],
    context: CliContext,
    *,
    at_once: int = MAX_AT_ONCE,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[int, Diagnosis]]:
    """Yield each line as soon as it is there, with the number of its check.

    The first check runs before the others and alone: it reads the settings, and says what is wrong with them. An error
    that several checks end with is yielded once. What a check raises that is no SquireError is raised at the end.

    Args:
        checks: In the order in which they start.
        context: Of the command.
        at_once: How many run at the same time. One that has used up its time counts no more, and its thread is left.
        monotonic: Seconds.
    """
    messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
    reported: set[str] = set()
    failures: list[BaseException] = []
    for numbers in (range(min(1, len(checks))), range(1, len(checks))):
        waiting, deadlines = deque(numbers), dict[int, float]()
        while waiting or deadlines:
            while waiting and len(deadlines) < at_once:
                number = waiting.popleft()
                deadlines[number] = monotonic() + checks[number].timeout_s
                _start(number, checks[number], context, messages)
            number, deadline = min(deadlines.items(), key=lambda item: item[1])
            try:
                number, message = messages.get(timeout=max(0.0, deadline - monotonic()))
            except queue.Empty:
                del deadlines[number]
                yield number, _late(checks[number])
                continue
            if number not in deadlines:
                continue  # it was too late
            if isinstance(message, _Ended):
                del deadlines[number]
                failures += [message.error] if message.error is not None else []
            elif isinstance(message, Diagnosis):
                yield number, message
            elif message.message not in reported:
                reported.add(message.message)
                yield number, Diagnosis.of_error(checks[number].name, message)
    for failure in failures:
        raise failure


def _start(number: int, check: DoctorCheck, context: CliContext, messages: "queue.SimpleQueue[_Message]") -> None:
    def run() -> None:
        error: BaseException | None = None
        try:
            for row in check.run(context):
                messages.put((number, row))
        except SquireError as known:
            messages.put((number, known))
        except BaseException as unknown:  # noqa: BLE001 - handed to the thread that asked, which raises it
            error = unknown
        messages.put((number, _Ended(error)))

    threading.Thread(target=run, name=f"doctor-{check.name}", daemon=True).start()


def _late(check: DoctorCheck) -> Diagnosis:
    message = f"not done within {check.timeout_s:g} s: what it asks does not answer"
    return Diagnosis(check.name, "fail", message, f"run `squire doctor` again; if it stays so: {check.remedy}")
