"""Defines the agent `mini-swe-agent`: a small loop around a shell, over OpenAI's protocol. Pure.

Checked against 2.4.6. It prints no events, and asks a provider that refuses again and again: it is judged by what the
gateway saw.
"""

from squire_pipelines.agents.adapters.program import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser


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
                *("-o", f"{Marker.FILES}/trajectory.json"),
            ),
            environment={
                "OPENAI_BASE_URL": f"{config.base_url}/v1",
                "OPENAI_API_KEY": PLACEHOLDER_KEY,
                "MSWEA_CONFIGURED": "true",
                "MSWEA_GLOBAL_CONFIG_DIR": f"{Marker.FILES}/mini",
                "MSWEA_COST_TRACKING": "ignore_errors",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            version=(*program, "--version"),
        )

    def parser(self) -> Parser:
        """Read nothing from its output, which is for people."""
        return lambda _line: ()
