"""What the built-in agents have in common: a known program, a model, and one rule by which sessions are judged. Pure.

Exit codes mislead (three of the programs end with 0 when their provider failed), and so do events: what the gateway saw
of the session's calls counts first.
"""

from squire_pipelines.agents.adapters.protocol import (
    AgentConfig,
    Permission,
    SessionFailure,
    SessionResult,
    allow,
    deny,
)
from squire_pipelines.errors import ConfigError

PLACEHOLDER_KEY = "unused-the-gateway-has-the-key"
"""What programs are given as the key. A rare text: Copilot blanks it out of everything that it prints."""

# What the gateway saw in the place of an answer, and what to do about it.
_ADDRESS = "check `base_url` and `protocol` of the provider in the settings, and proxies on the way to it"
_ANSWERS = {
    "not_the_protocol": f"it answered with a text that is no answer of its protocol, such as a page; {_ADDRESS}",
    "no_stream": f"it answered with one document where a stream was asked for; {_ADDRESS}",
    "unfinished": "an answer broke off before its end",
}


def confined(*, commands: str) -> tuple[Permission, ...]:
    """Return what holds for every program in the container; `commands` is the name of its tool for them."""
    return (
        allow(commands, "*", "whatever the image has, as an unprivileged user without a network"),
        deny("network", "*", "the container has none"),
        allow("model", "*", "through the gateway, which has the key and counts"),
    )


def off(files: str, how: str) -> Permission:
    """Return a line on files of the repository that would steer the program, and on how they are switched off."""
    return deny("repository", files, how)


class ProgramAgent:
    """A program that calls a model. A subclass says how it is started and how its output is read."""

    name: str
    program: str
    """What is called in the container."""
    label: str
    """Its name for people."""
    example: str
    """A model of the right protocol, for hints."""
    protocol_version = 2
    protocols: tuple[str, ...]
    permissions: tuple[Permission, ...]
    counts_exit_code = True
    """Whether an exit code of 0 means that the program ended well."""
    ends_after_last_word = False
    """Whether the program has nothing left to do after a step that stops, the end of its session or an error.

    So that it may be ended then. One that goes on by itself after an error, such as pi, or whose last event nobody has
    measured, is left to its time limit.
    """

    def check(self, config: AgentConfig) -> None:
        """Require a model. Raises ConfigError."""
        if not config.model:
            raise ConfigError(
                f'agent.kind is "{self.name}", but agent.model is not set',
                hint=f'name a model, such as model = "{self.example}", or have a command do the work: kind = "command"',
            )

    def title(self, config: AgentConfig) -> str:
        """Return `NAME:MODEL`."""
        return f"{self.name}:{config.model}"[:100]

    def command(self, config: AgentConfig) -> tuple[str, ...]:
        """Return what starts the program: its name, or what `config.command` puts in its place."""
        return config.command or (self.program,)

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Judge by what the gateway saw, the error that ended the session, the exit code, and whether it asked at all.

        A failure that only the program reports is the provider's unless the gateway saw every call answered.
        """
        return self._by_gateway(result) or self._by_events(result)

    def _by_gateway(self, result: SessionResult) -> SessionFailure | None:
        """Judge by what the gateway saw.

        For what only the user can change, `GatewaySession.revise` says the same with the same code, and counts, since
        it also knows of runs that were stopped. Of a provider's failures this counts: `revise` looks only at ends that
        remain the agent's.
        """
        seen, is_changed = result.gateway, result.changed is True
        if seen is None:
            return None
        if seen.user_fault is not None:
            return SessionFailure("configuration", f"{self.label}: {seen.user_fault}", "provider_refused")
        is_unanswered = seen.calls > 0 and seen.answers == 0
        if seen.empty_answers and seen.last_error not in _ANSWERS and (is_unanswered or not is_changed):
            return SessionFailure("provider", "the model's provider failed: an answer had no content", "empty_answer")
        ended_well = result.exit_code == 0 and self.counts_exit_code and result.totals.fatal_error is None
        if is_unanswered or (seen.last_error is not None and not (ended_well and is_changed)):
            return self._provider_failed(result)
        return None

    def _provider_failed(self, result: SessionResult) -> SessionFailure:
        seen, error = result.gateway, result.totals.fatal_error
        answer = _ANSWERS.get(seen.last_error or "") if seen is not None else None
        if seen is not None and answer is not None:
            return SessionFailure("provider", f"the model's provider failed: {answer}", seen.last_error or "provider")
        status = f"status {seen.last_status}" if seen is not None and seen.last_status is not None else ""
        reason = (
            f"{error.name}: {error.message}" if error is not None else (seen.last_error if seen is not None else "")
        )
        why = ", ".join(part for part in (status, reason or "") if part) or "no call was answered"
        code = error.name if error is not None else "provider"
        return SessionFailure("provider", f"the model's provider failed: {why}", code)

    def _by_events(self, result: SessionResult) -> SessionFailure | None:
        error, seen = result.totals.fatal_error, result.gateway
        if error is not None:
            all_answered = seen is not None and seen.calls > 0 and seen.failures == 0
            if error.provider and not all_answered:
                return self._provider_failed(result)
            return SessionFailure("agent", f"{self.label} failed: {error.name}: {error.message}", error.name)
        if result.exit_code != 0:
            return SessionFailure("agent", f"the agent ended with exit code {result.exit_code}", "exit_code")
        if result.changed is False and (refused := result.totals.refused_call) is not None:
            message = f"{self.label} changed nothing: it was not let use the tool {refused.tool}: {refused.error}"
            return SessionFailure("agent", message, "tool_refused")
        asked = result.totals.steps if seen is None else seen.calls
        if not asked and result.changed is False:
            return SessionFailure("agent", f"{self.label} ended without asking its model anything", "no_steps")
        return None
