"""`python -m squire_pipelines.alerting.apprise_child`: one message by Apprise, in a process that can be ended.

It reads its order as JSON from standard input and writes one word: `sent`, `refused`, or `unknown` for a URL that
Apprise cannot use. Apprise's own log may have the URL, and goes nowhere.
"""

import json
import os
import sys
from typing import Any

from squire_pipelines.observability.logging import silence_all


def main() -> str:
    """Send what standard input says; return the word that says how that went."""
    order: dict[str, Any] = json.load(sys.stdin.buffer)
    import apprise  # noqa: PLC0415 - an extra, and slow to import

    silence_all()
    service = apprise.Apprise()
    if not service.add(order["url"]):
        return "unknown"
    is_sent = service.notify(
        body=order["body"], title=order["title"], body_format=apprise.NotifyFormat.TEXT, timeout=order["timeout_s"]
    )
    return "sent" if is_sent else "refused"


if __name__ == "__main__":
    os.write(1, main().encode())  # for the parent process, not for people
