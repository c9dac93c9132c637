"""The section `[secrets]`: from where else than Squire's own stores secrets are taken. It holds none of them."""

from typing import Self

from pydantic import Field, model_validator

from squire_pipelines.secrets.keychain import TIMEOUT_S
from squire_pipelines.secrets.sources import PLACEHOLDER
from squire_pipelines.sections.types import Command, Seconds, SettingsSection


class SecretSettings(SettingsSection):
    """Where secrets come from beside the environment, mounted files, the keychain and the encrypted file."""

    allow_plain_files: bool = Field(default=False, description="read the files SECRET in the home's folder `secrets`")
    command: Command = Field(default=(), description="writes a secret; {name} in it is the secret's name")
    gh: bool = Field(default=False, description="ask `gh auth token` for github-token")
    command_timeout_s: Seconds = Field(default=20, description="for `command` and `gh`")
    keychain_timeout_s: Seconds = Field(default=TIMEOUT_S, description="for each answer of the system's keychain")

    @model_validator(mode="after")
    def _names_the_secret(self) -> Self:
        if self.command and not any(PLACEHOLDER in word for word in self.command):
            raise ValueError(
                f"command needs {PLACEHOLDER} where the name of the secret belongs, "
                'like ["op", "read", "op://Private/{name}/password"]'
            )
        return self
