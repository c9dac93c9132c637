"""Runs in the container: standard library only, and no connection but the gateway."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


def say(**event: object) -> None:
    """One event on its line."""
    print(json.dumps(event), flush=True)  # noqa: T201 - its protocol


def main() -> int:
    """Asks once, writes once."""
    target = Path(os.environ["ONESHOT_FILE"])
    prompt = Path(os.environ["SQUIRE_PROMPT_FILE"]).read_text(encoding="utf-8")
    question = (
        f"{prompt}\n\nThe file {target} is:\n\n{target.read_text(encoding='utf-8')}\n\nAnswer with its new text alone."
    )
    body = {"model": os.environ["ONESHOT_MODEL"], "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(  # noqa: S310 - the gateway's address, from the entrypoint
        f"{os.environ['SQUIRE_GATEWAY_URL']}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 - likewise
            document = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        say(event="failed", why=str(error))
        return 1
    usage = document.get("usage") or {}
    say(event="answer", input=usage.get("prompt_tokens", 0), output=usage.get("completion_tokens", 0))
    target.write_text(document["choices"][0]["message"]["content"], encoding="utf-8")
    say(event="wrote", file=str(target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
