"""What an attempt's calls have shown of each provider, and whether it may still be asked. No I/O.

A provider is asked no more once it has refused what only the user can change, or has failed too often in a row. The
agent is told that its work ends when none is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.domain.provider_faults import UserFault, is_failure_status, tell_waiting
from squire_pipelines.gateway.answer_content import EMPTY, NO_ANSWER, UNFINISHED
from squire_pipelines.gateway.model import RunningCall
from squire_pipelines.gateway.refusals import RefusalError

_USERS_TO_CHANGE = "The settings of this session have to be changed before its model can be asked. Stop working."


@dataclass(frozen=True, slots=True)
class UpstreamUse:
    """What came of one provider's calls.

    Args:
        calls: Those that were passed on to it.
        answers: Those that it answered with content.
        failures: Those that ended in an error of its own, without a connection or without content.
        last_error: What the last failure was, with its HTTP status where it has one.
        left: Why it is asked no more, a sentence for people; None while it may be asked.
    """

    calls: int = 0
    answers: int = 0
    failures: int = 0
    last_error: str | None = None
    left: str | None = None


@dataclass(slots=True)
class _Standing:
    """Where one provider stands: failures since its last answer, and the cause for which it is asked no more."""

    use: UpstreamUse = UpstreamUse()
    failing: int = 0
    final: str | None = None
    fault: UserFault | None = None


class UpstreamHealth:
    """Judges the providers of one attempt, in one thread.

    Args:
        names: Of the providers, in any order.
        max_failures: In a row, after which a provider counts as down.
    """

    def __init__(self, names: Sequence[str | None], max_failures: int) -> None:
        self._max_failures = max_failures
        self._standings = {name: _Standing() for name in names}
        self.seen = GatewaySeen()  # replaced, never changed: other threads read it
        self.final: RefusalError | None = None

    @property
    def uses(self) -> Mapping[str, UpstreamUse]:
        """What came of each provider's calls; may be asked from any thread."""
        return {name: standing.use for name, standing in self._standings.items() if name is not None}

    def is_open(self, name: str | None) -> bool:
        """Return whether a provider may still be asked."""
        return self._standings[name].final is None

    def refuse_further(self, name: str | None, fault: UserFault) -> RefusalError:
        """Ask a provider no more after an error that only the user can change. Returns the refusal for the agent."""
        # Neither the cause nor the provider's words: a program that reads of a quota waits for it, and asks again.
        refusal = RefusalError("provider_refused", _USERS_TO_CHANGE)
        self._close(name, refusal, fault)
        return refusal

    def look_at(self, call: RunningCall) -> None:
        """Count what a call that has ended shows of its provider. The agent sees nothing of one that is left."""
        is_answer, is_empty, is_failure = _outcome(call)
        is_judged = call.forwarded and not call.free and call.error != "client_gone"
        standing = self._standings.get(call.provider)
        if standing is not None and call.forwarded:
            use = replace(standing.use, calls=standing.use.calls + 1)
            if is_judged:
                use = replace(use, answers=use.answers + is_answer, failures=use.failures + (is_empty or is_failure))
                standing.failing = standing.failing + 1 if is_empty or is_failure else 0
            if is_judged and not is_answer:
                status = f"status {call.upstream_status}" if call.upstream_status else ""
                use = replace(use, last_error=" ".join(filter(None, (call.upstream_code or call.error, status))))
            standing.use = use
        if not call.is_left:
            self._show(call, is_judged=is_judged)
        if standing is not None and is_judged and standing.failing >= self._max_failures and standing.final is None:
            # Without the provider's own words: programs take "overloaded" and its like for a reason to go on.
            message = f"the model's provider has failed {standing.failing} times in a row. Stop working."
            self._close(call.provider, RefusalError("provider_down", message), None)

    def _show(self, call: RunningCall, *, is_judged: bool) -> None:
        seen = replace(self.seen, calls=self.seen.calls + 1)
        if call.forwarded and call.has_notice:
            seen = replace(seen, notices=seen.notices + 1)
        if is_judged:
            is_answer, is_empty, is_failure = _outcome(call)
            seen = replace(
                seen,
                answers=seen.answers + is_answer,
                empty_answers=seen.empty_answers + is_empty,
                failures=seen.failures + is_failure,
                failing=seen.failing + 1 if is_empty or is_failure else 0,
                last_error=None if is_answer else call.upstream_code or call.error,
                last_status=seen.last_status if is_answer else call.upstream_status,
            )
        self.seen = seen

    def _close(self, name: str | None, refusal: RefusalError, fault: UserFault | None) -> None:
        """Ask a provider no more, and the agent's model no more when none is left."""
        standing = self._standings[name]
        standing.final, standing.fault = refusal.code, fault
        left = str(fault) if fault is not None else f"It failed {standing.failing} times in a row."
        standing.use = replace(standing.use, left=left)
        causes = {standing.final for standing in self._standings.values()}
        if None in causes:
            return
        # Where one of them is only down, the work may go on later without a change of the user's.
        self.final = refusal if len(causes) == 1 else RefusalError("provider_down", _none_left(len(self._standings)))
        faults = [standing.fault for standing in self._standings.values() if standing.fault is not None]
        user_fault = tell_waiting(faults) if len(faults) == len(self._standings) else None
        self.seen = replace(self.seen, final=self.final.code, user_fault=user_fault)


def _none_left(count: int) -> str:
    return f"none of the model's {count} providers can be asked any more. Stop working."


def _outcome(call: RunningCall) -> tuple[bool, bool, bool]:
    """Return whether a call was answered with content, without, or ended in a failure of the provider's."""
    is_empty = call.error in {EMPTY, UNFINISHED}
    is_failure = not is_empty and (provider_failed(call) or call.error == "provider_refused")
    return call.error is None, is_empty, is_failure


def provider_failed(call: RunningCall) -> bool:
    """Return whether the provider failed in a way after which clients ask again, which is useless if it goes on."""
    if call.error == "upstream_status":
        return is_failure_status(call.upstream_status or 0)
    return call.error in NO_ANSWER | {"upstream_unreachable", "timeout", "gateway_failed"}
