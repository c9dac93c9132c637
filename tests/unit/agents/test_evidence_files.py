"""The files in which an agent finds the evidence."""

from pathlib import Path

from squire_pipelines.agents.attempt_files import write_inputs
from squire_pipelines.agents.evidence_files import MAX_FILE_CHARS, MAX_FILES, evidence_files
from squire_pipelines.agents.prompt import build_prompt
from squire_pipelines.domain.evidence import JobLog, SignalEvidence
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import TaskSpec
from tests.support.attempts import make_inputs
from tests.support.signal_samples import failed_check, issue


def check(name: str, text: str = "FAIL: test_sum") -> Signal:
    return failed_check(name).model_copy(update={"evidence": SignalEvidence(log=JobLog(job=name, text=text))})


def test_each_signal_with_evidence_has_a_file_with_a_name_of_ours() -> None:
    hostile, plain = check("../../etc/passwd\n"), issue()
    refs = (plain.ref, hostile.ref)
    (file,) = evidence_files(refs, [hostile, plain])
    assert (file.name, file.number) == ("2-failed_ci.txt", 2)
    assert "FAIL: test_sum" in file.text
    assert evidence_files((), [hostile]) == ()


def test_files_are_bounded_in_number_and_size() -> None:
    signals = [check(f"c{number}", "x" * 32_000) for number in range(40)]
    files = evidence_files([signal.ref for signal in signals], signals)
    assert len(files) == MAX_FILES
    assert all(len(file.text) <= MAX_FILE_CHARS for file in files)


def test_files_are_written_beside_the_prompt_that_names_them(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"bundle")
    signal = check("tests")
    files = evidence_files([signal.ref], [signal])
    folder = write_inputs(make_inputs(tmp_path / "attempt"), bundle, evidence=files)
    assert (folder.inbox / "evidence/1-failed_ci.txt").read_text(encoding="utf-8") == files[0].text
    spec = TaskSpec(key="k", title="T", prompt="P", base_branch="main", signals=(signal.ref,))
    prompt = build_prompt(spec, repository="o/r", branch="b", evidence=files)
    assert "- 1-failed_ci.txt: of signal 1 in the list above" in prompt
    assert "SQUIRE_EVIDENCE" in prompt
    assert "Evidence" not in build_prompt(spec, repository="o/r", branch="b")
