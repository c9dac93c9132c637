"""Runs in the container: standard library only, and no connection but the gateway."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def say(**event: object) -> None:
    """One event on its line."""
    print(json.dumps(event), flush=True)  # noqa: T201 - its protocol


def main() -> int:
    """Asks once, writes once."""
    if sys.argv[1:] == ["--version"]:
        print("oneshot 0.2.0")  # noqa: T201 - what it was asked for
        return 0
    own = Path(".oneshot.json")  # of the repository: taken out of the clone before the start
    settings = json.loads((own if own.exists() else Path.home() / ".config" / "oneshot.json").read_text("utf-8"))
    target, prompt = Path(settings["file"]), sys.stdin.read()
    Path(settings["log"]).write_text("started\n", encoding="utf-8")  # never a part of the change
    question = (
        f"{prompt}\n\nThe file {target} is:\n\n{target.read_text(encoding='utf-8')}\n\nAnswer with its new text alone."
    )
    messages = [{"role": "user", "content": question}]
    body = {"model": settings["model"], "messages": messages, "max_tokens": settings["max_tokens"]}
    request = urllib.request.Request(  # noqa: S310 - the gateway's address
        settings["url"],
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
