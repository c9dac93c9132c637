"""The search by which other tests show that no secret was left anywhere: it finds one in each form."""

import os
from pathlib import Path

import pytest

from squire_pipelines.domain.credentials import forms
from tests.support.leak_search import environment_of, files_with, processes_with, text_has

VALUE = "canary+of/the=demo 7f3a"


@pytest.mark.parametrize("form", sorted(set(forms(VALUE))))
def test_each_form_is_found_in_a_file_and_in_a_text(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.db").write_bytes(b"\0\xff" + form.encode() + b"\0")
    (folder / "b").write_text("nothing", encoding="utf-8")
    assert files_with(tmp_path, ("another", VALUE)) == ["logs/a.db"]
    assert text_has(f"x{form}y", (VALUE,))
    assert not text_has("nothing", (VALUE,))


def test_a_process_with_the_value_in_its_environment_is_found() -> None:
    variables = environment_of(os.getpid())
    name, value = next((name, value) for name, value in variables.items() if len(value) > 10)
    assert os.getpid() in processes_with([f"{name}={value}"])
