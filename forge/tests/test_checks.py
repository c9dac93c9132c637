from squire_forge.checks import evaluate, overall
from squire_forge.records import Expectation

FILES = {"a.py": "one\ntwo = 2\n", "b.md": "# Title\n"}


def _wants(path: str, pattern: str, *, must_match: bool = True, check: str = "tests") -> Expectation:
    return Expectation(check_name=check, path=path, pattern=pattern, must_match=must_match, message="as it was agreed")


def test_a_check_passes_when_all_its_expectations_hold() -> None:
    (result,) = evaluate([_wants("a.py", r"^two"), _wants("b.md", "three", must_match=False)], FILES.get)
    assert (result.conclusion, result.title) == ("success", "All passed")


def test_a_failure_names_the_line_where_the_unwanted_was_found() -> None:
    (result,) = evaluate([_wants("a.py", r"^two", must_match=False)], FILES.get)
    assert result.conclusion == "failure"
    assert result.text == "a.py:2: as it was agreed"


def test_a_missing_file_fails_what_must_match_and_holds_what_must_not() -> None:
    wants = [_wants("c.py", "x", check="wanted"), _wants("c.py", "x", must_match=False, check="unwanted")]
    missing, unwanted = evaluate(wants, FILES.get)
    assert missing.conclusion == "failure"
    assert "no such file" in missing.text
    assert unwanted.conclusion == "success"


def test_expectations_of_one_name_are_one_check_in_order_of_appearance() -> None:
    wants = [_wants("a.py", "one", check="z"), _wants("b.md", "x", check="a"), _wants("a.py", "nope", check="z")]
    results = evaluate(wants, FILES.get)
    assert [(result.name, result.conclusion) for result in results] == [("z", "failure"), ("a", "failure")]
    assert results[0].title == "1 of 2 failed"


def test_a_suite_fails_with_any_of_its_checks() -> None:
    assert overall(["success", "success"]) == "success"
    assert overall(["success", "failure"]) == "failure"


def test_what_is_flaky_passes_when_it_runs_again() -> None:
    flaky = Expectation(check_name="t", path="a.py", pattern="no", must_match=True, message="", flaky=True)
    assert [evaluate([flaky], FILES.get, again=again)[0].conclusion for again in (False, True)] == [
        "failure",
        "success",
    ]
