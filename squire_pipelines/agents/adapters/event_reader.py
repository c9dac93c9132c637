"""What the readers of all programs' events share: a session's id and time, and the entries that they make. Pure."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from squire_pipelines.agents.adapters.json_lines import Event, lines_parser, plain_text
from squire_pipelines.agents.adapters.protocol import Parser
from squire_pipelines.agents.adapters.transcript import (
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    SESSION_ENDED,
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    ToolCall,
    cut,
)

_MAX_PENDING = 1000
# How programs tell a model that it may not use a tool: OpenCode (two), Claude Code (two), Gemini.
_REFUSED = re.compile(
    r"(?:Error: )?(?:The user rejected permission to use this specific tool call"
    r"|The user has specified a rule which prevents you from using this specific tool call"
    r"|Claude requested permissions to .{1,200}, but you haven't granted it yet"
    r"|Permission to use .{1,200} has been denied|Tool execution denied by policy)",
    re.DOTALL,
)


class EventReader:
    """Reads one session. A subclass says in `entries` what each kind of event means.

    `session` and `at`, which a subclass sets from an event, are those of all entries that the methods make, cut as the
    transcript needs it.
    """

    def __init__(self) -> None:
        self.session: str | None = None
        self.at: datetime | None = None
        self._pending: dict[str, tuple[str, str, datetime | None]] = {}

    @property
    def parser(self) -> Parser:
        """The reader of this one session's lines."""
        return lines_parser(self.entries)

    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says."""
        raise NotImplementedError

    def _common(self) -> dict[str, Any]:
        return {"session": self.session, "at": self.at}

    def belongs_to(self, session: str) -> None:
        """Remember the session's id."""
        self.session = session[:MAX_NAME_CHARS] or None

    def note(self, text: str) -> SessionNote:
        """Return a note."""
        return SessionNote(**self._common(), text=text[:MAX_MESSAGE_CHARS])

    def began(self, model: str = "") -> SessionNote:
        """Return the note that the session began, with a model where the program names it."""
        return self.note(f"the session began{f' with {model}' if model else ''}")

    def ended(self) -> SessionNote:
        """Return the note that the session ended well; one that ended in an error has that as its last entry."""
        return self.note(SESSION_ENDED)

    def says(self, text: str) -> Iterable[Entry]:
        """Yield a text of the model's, unless it is empty."""
        if text.strip():
            yield ModelText(**self._common(), text=cut(text))

    def step(self, *, reason: str = "", **counts: Any) -> ModelStep:
        """Return an answer of the model's; `counts` are the fields of `ModelStep`."""
        return ModelStep(**self._common(), **counts, reason=reason[:MAX_NAME_CHARS])

    def failed(self, name: str, message: str, *, provider: bool) -> SessionError:
        """Return an error; `provider` says whether it is the provider's."""
        return SessionError(
            **self._common(),
            name=(name or "error")[:MAX_NAME_CHARS],
            message=message[:MAX_MESSAGE_CHARS],
            provider=provider,
        )

    def tool(self, name: str, arguments: Any, output: Any, *, failed: bool, **more: Any) -> ToolCall:
        """Return a call of a tool, whole; `more` are further fields of `ToolCall`."""
        text = plain_text(output)
        return ToolCall(
            **self._common(),
            tool=(name or "unknown")[:MAX_NAME_CHARS],
            input=cut(plain_text(arguments)),
            **{
                "status": "error" if failed else "completed",
                "output": "" if failed else cut(text),
                "error": text[:MAX_MESSAGE_CHARS] if failed else "",
                "refused": failed and _REFUSED.match(text) is not None,
                **more,
            },
        )

    def tool_began(self, call_id: str, name: str, arguments: Any) -> None:
        """Remember a call until its end, which names it by its id alone; the oldest of far too many is forgotten."""
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        self._pending[call_id] = (name, plain_text(arguments), self.at)

    def tool_ended(self, call_id: str, output: Any, *, failed: bool) -> ToolCall:
        """Return the call with its outcome, by name and input where its beginning was seen."""
        name, arguments, began = self._pending.pop(call_id, ("", "", None))
        seconds = None
        if began is not None and self.at is not None:
            seconds = min(max(0.0, round((self.at - began).total_seconds(), 3)), 1e7)
        return self.tool(name, arguments, output, failed=failed, seconds=seconds)
