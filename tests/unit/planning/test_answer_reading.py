import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.planning.answer_reading import MAX_CHARS, json_values, unwrap

FORM: dict[str, Any] = {"tasks": [{"key": "a"}], "notes": []}
TEXT = json.dumps(FORM)


def first(text: str) -> dict[str, Any] | None:
    forms = (unwrap(reading.value, "tasks") for reading in json_values(text) if reading.whole)
    return next((form for form in forms if form is not None), None)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Here it is:\n```json\n{TEXT}\n```\nGood luck!",
        f"The plan {TEXT} is all.",
        json.dumps({"plan": FORM}),
        json.dumps({"name": "final_result", "arguments": TEXT}),
        json.dumps({"name": "final_result", "parameters": FORM}),
        json.dumps([FORM]),
    ],
)
def test_a_form_is_read_from_whatever_it_is_wrapped_in(text: str) -> None:
    assert first(text) == FORM


def test_a_list_of_tasks_counts_as_the_form() -> None:
    assert first('[{"key": "a"}, {"key": "b"}]') == {"tasks": [{"key": "a"}, {"key": "b"}]}


@pytest.mark.parametrize("text", ["", "no plan", "null", "17", "[]", '{"other": {}}', "[" * 100_000, '{"tasks": "a"}'])
def test_what_is_no_form_is_none(text: str) -> None:
    assert first(text) is None


def test_a_cut_answer_is_read_as_far_as_it_goes_and_is_not_whole() -> None:
    (reading,) = json_values('{"tasks": [{"key": "a"}, {"key": "b", "title": "Half')
    assert (reading.whole, reading.value) == (False, {"tasks": [{"key": "a"}, {"key": "b"}]})


def test_more_than_a_plan_can_need_is_not_read() -> None:
    assert list(json_values("{" + " " * MAX_CHARS + "}")) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_json_value_breaks_the_reading(value: Any) -> None:
    form = first(json.dumps(value))
    assert form is None or isinstance(form["tasks"], list)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    list(json_values(text))
