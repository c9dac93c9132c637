"""Mends what is known to be wrong in this repository. Stands in for a coding agent in Squire's demo.

Reads the task (JSON) at $SQUIRE_TASK_FILE, edits files in the working directory, and is safe to run twice.
"""

import json
import os
import pathlib
import sys

# path, what is wrong, what it should be
MENDS = [
]


def main():
    task_file = os.environ.get("SQUIRE_TASK_FILE")
    if not task_file:
        print("mend: SQUIRE_TASK_FILE is not set", file=sys.stderr)
        return 2
    with open(task_file, encoding="utf-8") as file:
        task = json.load(file)
    print(f"mend: task {task.get('id', '?')}: {task.get('title', 'without a title')}")
    mended = 0
    for name, wrong, right in MENDS:
        path = pathlib.Path(name)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if wrong in text:
            path.write_text(text.replace(wrong, right), encoding="utf-8")
            mended += 1
            print(f"mend: {name}: mended")
    print(f"mend: {mended} places mended" if mended else "mend: nothing to mend here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
