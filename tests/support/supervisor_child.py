"""A supervisor as a process of its own, to be killed: runs a prepared attempt on an engine and prints how it ended.

`python -m tests.support.supervisor_child HOST FOLDER ATTEMPT_ID SCRIPT [LIMITS_JSON]`; FOLDER holds an `origin.bundle`.
"""

import json
import sys
from pathlib import Path

from squire_pipelines.agents import engine
from squire_pipelines.agents.docker_runner import DockerRunner
from tests.support.attempts import Origin, go_on, small_limits


def main(host: str, folder: str, attempt_id: str, script: str, limits: str = "{}") -> None:
    root = Path(folder)
    sha = (root / "origin.sha").read_text("ascii").strip()
    origin = Origin(root / "origin", root / "origin.bundle", sha)
    inputs = origin.prepared(
        root, command=("sh", "-c", script), attempt_id=attempt_id, limits=small_limits(**json.loads(limits))
    )
    runner = DockerRunner(engine.connect(30, hosts=(host,)))
    result = runner.run(inputs, heartbeat=go_on)
    runner.close()
    sys.stdout.write(result.ending.model_dump_json() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
