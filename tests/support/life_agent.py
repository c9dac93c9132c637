"""A scripted agent: what it does is data, and takes no time. What it leaves is what the real worker would leave."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.transcript import ModelText, dump
from squire_pipelines.agents.attempt_files import BUNDLE_FILE
from squire_pipelines.agents.model import AgentResult, AttemptInputs, ResultStatus, RunResult
from squire_pipelines.domain.endings import STOPPED_FOR, Cause, Ending, Evidence
from tests.support.git_repository import git


@dataclass(frozen=True)
class Work:
    """What one run of the agent does.

    Args:
        files: What it writes, beside a line of its own by which its work is known again; None for nothing at all.
        words: What it says last.
        cause: How its run ends.
        meanwhile: The act that happens at GitHub while it works.
    """

    files: Mapping[str, str] | None = field(default_factory=dict)
    words: str = "I did it."
    cause: Cause = Cause.COMPLETED
    meanwhile: str = "nothing"


@dataclass
class ScriptedAgent:
    """Does one piece of work after the other, the last again and again.

    `act` has something happen at GitHub; `made` are the lines by which the work of each run is known again, by attempt.
    """

    works: Sequence[Work]
    act: Callable[[str], object] = field(default=lambda _name: None)
    made: dict[str, str] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def run(self, inputs: AttemptInputs) -> RunResult:
        """Do the next work in the attempt's folder; an attempt whose work is there already gets that one."""
        if inputs.attempt_id in self.runs:
            work = self.works[min(self.runs.index(inputs.attempt_id), len(self.works) - 1)]
        else:
            work = self.works[min(len(self.runs), len(self.works) - 1)]
            self.runs.append(inputs.attempt_id)
            self.act(work.meanwhile)
        keep = inputs.folder.keep
        keep.mkdir(parents=True, exist_ok=True)
        (keep / TRANSCRIPT).write_text(f"{dump(ModelText(text=work.words))}\n", encoding="utf-8")
        if work.files is None:
            return RunResult(Ending(cause=work.cause, message="it changed nothing"))
        line = f"work of {inputs.attempt_id}"
        head = self._commit(inputs, {**work.files, f"notes/{inputs.attempt_id}.md": f"{line}\n"})
        self.made[inputs.attempt_id] = line
        stopped = {} if work.cause is Cause.COMPLETED else {STOPPED_FOR: work.cause.value}
        ending = Ending(cause=work.cause, message="it is done", evidence=Evidence(facts=stopped))
        result = AgentResult(schema=1, status=ResultStatus.CHANGED, head_sha=head, commits=1)
        return RunResult(ending, result, keep / BUNDLE_FILE)

    @staticmethod
    def _commit(inputs: AttemptInputs, files: Mapping[str, str]) -> str:
        clone = inputs.attempt_dir / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        git(inputs.attempt_dir, "clone", "--quiet", "--no-checkout", str(inputs.folder.inbox / "repo.bundle"), "clone")
        git(clone, "checkout", "--quiet", "-B", inputs.branch, inputs.base_sha)
        for name, content in files.items():
            path = clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "-m", inputs.commit_message)
        bundle = inputs.folder.keep / BUNDLE_FILE
        git(clone, "bundle", "create", "--quiet", str(bundle), f"{inputs.base_sha}..refs/heads/{inputs.branch}")
        head = git(clone, "rev-parse", "HEAD")
        shutil.rmtree(clone)
        return head


def is_kept(folder: Path) -> bool:
    """Return whether an attempt's folder has the bundle of its work."""
    return (folder / "keep" / BUNDLE_FILE).is_file()
