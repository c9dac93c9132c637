"""The state of the webhook of a repository, or of Apps: its secret, whether it is active, whether it is gone."""

import sqlite3

from pydantic import BaseModel, ConfigDict

APP = "app"
"""The owner of the Apps' webhook, where a repository's is its id."""


class HookState(BaseModel):
    """A webhook's state; `secret` is None for the one that the forge was started with."""

    model_config = ConfigDict(frozen=True)

    secret: str | None = None
    is_active: bool = True
    is_deleted: bool = False

    @property
    def sends(self) -> bool:
        """Whether events go through it."""
        return self.is_active and not self.is_deleted


def hook_state(con: sqlite3.Connection, owner: int | str) -> HookState:
    """Return the state of the webhook of a repository (its id) or of Apps (`APP`)."""
    row = con.execute("SELECT value FROM meta WHERE key = ?", (f"hook:{owner}",)).fetchone()
    return HookState() if row is None else HookState.model_validate_json(row["value"])


def set_hook_state(con: sqlite3.Connection, owner: int | str, state: HookState) -> None:
    """Keep the state of a webhook."""
    con.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (f"hook:{owner}", state.model_dump_json()))


def secret_of(con: sqlite3.Connection, repository_id: int, default: str) -> str:
    """Return what deliveries about a repository are signed with: the repository's own, the Apps', or the default."""
    own = hook_state(con, repository_id).secret
    return own if own is not None else hook_state(con, APP).secret or default
