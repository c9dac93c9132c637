"""Answers of a server that takes a push and refuses its branch, as faults of the forge."""

from typing import Any


def refused_push(branch: str, status: str | None, words: str) -> dict[str, Any]:
    """Return the fault by which a server says `words` and, of the branch, `status`; without one it says nothing of it.

    https://git-scm.com/docs/pack-protocol#_report_status
    """
    report = _packet("unpack ok\n") + (_packet(f"ng refs/heads/{branch} {status}\n") if status else "") + "0000"
    body = _packet(f"\x02{words}\n") + _packet(f"\x01{report}") + "0000"
    return {"status": 200, "body": body, "headers": {"content-type": "application/x-git-receive-pack-result"}}


def _packet(text: str) -> str:
    return f"{len(text) + 4:04x}{text}"
