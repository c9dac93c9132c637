"""How much of what is secret redaction finds, by form, with its misses and mistakes: `make bench-redaction`.

Every form is tried with the same invented secrets in lines of a log. What is known is looked for in its usual forms;
the forms at the end are known to pass, and are measured so that nobody takes redaction for more than it is.
"""

import base64
import codecs
import gzip
import json
import random
import string
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.secrets.redact import MASK, Redactor
from tests.support.figures import ROOT, Figure, report

SECRETS = 100
SEED = 20261122
Form = Callable[[str], str]
_ALPHABET = string.ascii_letters + string.digits + "-_.~+/="


def _base64_at(offset: int) -> Form:
    return lambda value: base64.b64encode(b"user:abc"[:offset] + value.encode() + b"!x").decode()


KNOWN: dict[str, Form] = {
    "as it is": str,
    "in a JSON string": json.dumps,
    "percent-encoded": lambda value: quote(value, safe=""),
    "hex, lower case": lambda value: value.encode().hex(),
    "hex, upper case": lambda value: value.encode().hex().upper(),
    "base64, aligned": _base64_at(0),
    "base64, one byte on": _base64_at(1),
    "base64, two bytes on": _base64_at(2),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "split by colour codes": lambda value: "\x1b[1m".join((value[:7], value[7:])),
}
PASSING: dict[str, Form] = {
    "base32": lambda value: base64.b32encode(value.encode()).decode(),
    "base64 twice": lambda value: base64.b64encode(base64.b64encode(value.encode())).decode(),
    "compressed, then base64": lambda value: base64.b64encode(gzip.compress(value.encode(), mtime=0)).decode(),
    "hex with colons": lambda value: value.encode().hex(":"),
    "backwards": lambda value: value[::-1],
    "rot13": lambda value: codecs.encode(value, "rot13"),
    "every character percent-encoded": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "HTML character references": lambda value: "".join(f"&#{ord(character)};" for character in value),
    "spaces between the characters": " ".join,
    "in two lines": lambda value: value[:12] + "\n" + value[12:],
}
UNKNOWN: dict[str, Form] = {
    "a GitHub token": lambda value: "ghp_" + _plain(value, 36),
    "an installation token": lambda value: "ghs_" + _plain(value, 50),
    "a fine-grained token": lambda value: "github_pat_" + _plain(value, 60),
    "a model provider's key": lambda value: "sk-" + _plain(value, 40),
    "an AWS access key": lambda value: "AKIA" + _plain(value, 16).upper(),
    "a Slack token": lambda value: "xoxb-" + _plain(value, 40),
    "a bearer header": lambda value: "Authorization: Bearer " + _plain(value, 32),
    "a password in a URL": lambda value: f"https://me:{_plain(value, 20)}@example.com/",
}


def _plain(value: str, length: int) -> str:
    return "".join(random.Random(value).choices(string.ascii_letters + string.digits, k=length))  # noqa: S311 - no secret


def _hidden(redactor: Redactor, shown: str, core: str) -> bool:
    """Return whether nothing that matters of `core` is left of a line that shows it."""
    line = redactor.redact(f"2026-11-22 12:00:00 step: value={shown} end\n")
    return core not in line and MASK in line


def recall(redactor: Redactor, secrets: list[str], form: Form) -> float:
    """Return the percentage of secrets in `form` of which redaction leaves nothing usable."""
    hidden = 0
    for value in secrets:
        shown = form(value)
        core = value if "\x1b" in shown else shown[4:-4].strip('"')
        hidden += _hidden(redactor, shown, core)
    return 100 * hidden / len(secrets)


def recall_unknown(redactor: Redactor, secrets: list[str], form: Form) -> float:
    """Return the same for credentials that the redactor does not know."""
    shown = [form(value) for value in secrets]
    return 100 * sum(_hidden(redactor, text, text.partition("@")[0][-12:]) for text in shown) / len(shown)


def mistaken_lines(redactor: Redactor) -> tuple[int, int]:
    """Return how many lines of this project's own code and documents are changed, and of how many."""
    files = [*ROOT.glob("squire_pipelines/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.py")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if "\x1b" not in line]
    return sum(redactor.redact(line) != line for line in lines), len(lines)


def main() -> int:
    """Measure and report."""
    choose = random.Random(SEED)  # noqa: S311 - invented values
    secrets = ["".join(choose.choices(_ALPHABET, k=choose.randint(20, 60))) for _ in range(SECRETS)]
    redactor = Redactor(secrets)
    figures = [
        Figure(f"known, {name}", recall(redactor, secrets, form), "%", 100, at_least=True)
        for name, form in KNOWN.items()
    ]
    figures += [
        Figure(f"unknown, {name}", recall_unknown(redactor, secrets, form), "%", 100, at_least=True)
        for name, form in UNKNOWN.items()
    ]
    figures += [Figure(f"passes, {name}", recall(redactor, secrets, form), "%") for name, form in PASSING.items()]
    mistaken, lines = mistaken_lines(redactor)
    figures.append(Figure("ordinary lines changed", 1000 * mistaken / lines, "per 1,000 lines", 5))
    return report("redaction", figures)


if __name__ == "__main__":
    sys.exit(main())
