"""The life of one pull request of the demo: its first head fails its checks, the second is merged after a remark.

The agent is a program that mends the defect. Here it is told to forget it at first, as an agent may, and to answer a
reviewer who asks. All else is the pipeline's own doing.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from squire_forge.samples import SampleRepository

REPOSITORY = "demo/ledgerlib"
_REVIEWER = {
    "author": "ivo",
    "path": "ledgerlib/money.py",
    "body": "Who gets the cent that is left over: is it always the first one?",
}
_ANSWER = "Remark 1: declined: yes, the first shares take what is left over, a cent each, as the test wants it."


def hosting_of(sample: SampleRepository) -> Mapping[str, Any]:
    """Return how a sample is hosted: the story's has a reviewer."""
    return {**sample.hosting(), "reviewer": _REVIEWER} if sample.full_name == REPOSITORY else sample.hosting()


def command_of(sample: SampleRepository) -> tuple[str, ...]:
    """Return the command line that is the agent in a sample; the story's knows for what it is called."""
    if sample.full_name != REPOSITORY:
        return sample.agent_command
    program = shlex.join(sample.agent_command)
    script = f"""\
case "$(tr -d ' \\n' < "$SQUIRE_TASK_FILE")" in
*'"follow_up":{{"kind":"checks"'*) {program} ;;
*'"follow_up":{{"kind":"remarks"'*) echo {shlex.quote(_ANSWER)} ;;
*) echo 'Shares are whole cents.' >> NOTES.md ;;
esac"""
    return ("sh", "-c", script)
