"""What the scripts that generate a file share: they write it, or say that it is not up to date."""

import argparse
import sys
from pathlib import Path


def write_or_check(path: Path, text: str, *, description: str | None) -> int:
    """Write `text` to `path`, or with `--check` on the command line only compare the two; return the exit code.

    Args:
        path: Of the generated file; its folder is made.
        text: What it has to have.
        description: Of the script, for its help.
    """
    script = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not up to date")
    if not parser.parse_args().check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{path} is not up to date: run scripts/{script}\n")
    return 1
