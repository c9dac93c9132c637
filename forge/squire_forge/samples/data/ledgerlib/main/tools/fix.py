"""Fixes the known defects of this repository. It stands in for a coding agent in Squire's demo.

It reads the task (JSON) at $SQUIRE_TASK_FILE and edits files in the working directory; to run it twice is harmless.
"""

import json
import os
import pathlib
import sys

# path, what is wrong, what it should be
FIXES = [
    (
        "ledgerlib/money.py",
        "    share = total // parts\n    return [share] * parts\n",
        "    share, left = divmod(total, parts)\n    return [share + 1] * left + [share] * (parts - left)\n",
    ),
]


def main():
    task_file = os.environ.get("SQUIRE_TASK_FILE")
    if not task_file:
        print("fix: SQUIRE_TASK_FILE is not set", file=sys.stderr)
        return 2
    with open(task_file, encoding="utf-8") as file:
        task = json.load(file)
    print(f"fix: task {task.get('id', '?')}: {task.get('title', 'without a title')}")
    count = 0
    for name, wrong, right in FIXES:
        path = pathlib.Path(name)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if wrong in text:
            path.write_text(text.replace(wrong, right), encoding="utf-8")
            count += 1
            print(f"fix: {name}: fixed")
    print(f"fix: {count} places fixed" if count else "fix: nothing to fix here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
