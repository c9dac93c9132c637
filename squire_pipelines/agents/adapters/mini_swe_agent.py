"""Defines the agent `mini-swe-agent`: a small loop around a shell, over OpenAI's protocol. Pure.

Checked against 2.4.6. It prints no events: its transcript comes from the trajectory that it leaves. Its own retries are
off, since it asks a provider that refuses for good again; those of the client below it ask only after a failure that
may pass.
"""

from collections.abc import Iterable

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import (
    Event,
    count_of,
    moment_of,
    number_of,
    part_of,
    parts_of,
    read_document,
    text_of,
)
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, SessionFile
from squire_pipelines.agents.adapters.transcript import Entry

_FILE = "session.json"
_RETRIES = 4
_NOT_RUN = "action was not executed"


class MiniSweAgent(ProgramAgent):
    """mini's run without questions, with the prompt as its argument."""

    name = "mini-swe-agent"
    program = "mini"
    label = "mini-swe-agent"
    example = "gpt-5-mini"
    protocols = ("openai",)
    counts_exit_code = False
    permissions = (
        *confined(commands="bash"),
        off("*", "it reads no file of the repository but those that the model asks for"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session; its own limit of costs is off, since it knows no prices and the gateway has one."""
        program = self.command(config)
        return LaunchSpec(
            argv=(
                *program,
                *("-t", Marker.PROMPT),
                "-y",
                "--exit-immediately",
                *("-m", f"openai/{config.model or ''}"),
                *("-l", "0"),
                *("-o", f"{Marker.OUTPUT}/{_FILE}"),
            ),
            environment={
                "OPENAI_BASE_URL": f"{config.base_url}/v1",
                "OPENAI_API_KEY": PLACEHOLDER_KEY,
                "MSWEA_CONFIGURED": "true",
                "MSWEA_GLOBAL_CONFIG_DIR": f"{Marker.FILES}/mini",
                "MSWEA_COST_TRACKING": "ignore_errors",
                "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",
                "DEFAULT_MAX_RETRIES": str(_RETRIES),
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            version=(*program, "--version"),
            session_file=SessionFile(_FILE, read_trajectory),
        )

    def parser(self) -> Parser:
        """Read nothing from its output, which is for people."""
        return lambda _line: ()


def read_trajectory(text: str) -> Iterable[Entry]:
    """Yield the entries of a trajectory; a text that is none has none."""
    reader = _TrajectoryReader()
    for message in parts_of(read_document(text), "messages"):
        yield from reader.entries(message)


class _TrajectoryReader(EventReader):
    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what a message says."""
        extra = part_of(event, "extra")
        self.at = moment_of(number_of(extra, "timestamp"))
        match event.get("role"):
            case "system":
                yield self.began()
            case "assistant":
                yield from self._answer(event)
                for call in parts_of(event, "tool_calls"):
                    function = part_of(call, "function")
                    self.tool_began(text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"))
            # The command by which it ends is told as one that did not run.
            case "tool" if extra.get("exception_info") != _NOT_RUN:
                call_id, has_failed = text_of(event, "tool_call_id"), extra.get("returncode") != 0
                yield self.tool_ended(call_id, text_of(extra, "raw_output"), failed=has_failed)
            case "exit" if (status := text_of(extra, "exit_status")) != "Submitted":
                reason = text_of(extra, "exception_str") or text_of(event, "content")
                yield self.failed(status, reason, provider="exception_str" in extra)

    def _answer(self, message: Event) -> Iterable[Entry]:
        response = part_of(message, "extra", "response")
        usage = part_of(response, "usage")
        cached = count_of(part_of(usage, "prompt_tokens_details"), "cached_tokens")
        yield self.step(
            input_tokens=max(0, count_of(usage, "prompt_tokens") - cached),
            output_tokens=count_of(usage, "completion_tokens"),
            reasoning_tokens=count_of(part_of(usage, "completion_tokens_details"), "reasoning_tokens"),
            cache_read_tokens=cached,
            reason=next((text_of(choice, "finish_reason") for choice in parts_of(response, "choices")), ""),
        )
        yield from self.says(text_of(message, "content"))
