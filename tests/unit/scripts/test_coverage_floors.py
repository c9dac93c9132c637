import subprocess
import sys

from scripts.coverage_floors import ALL, FLOORS, MeasuredFile, compare
from tests.support.house import ROOT

PACKAGES = [folder for _, _, folders in FLOORS for folder in folders if folder not in ALL]


def test_what_reaches_every_floor_lacks_nothing() -> None:
    files = [MeasuredFile(f"{folder}one.py", 100, 5, "1-5") for folder in PACKAGES]
    reached, problems = compare([*files, MeasuredFile("squire_pipelines/cli/main.py", 100, 20, "7-26")])
    assert problems == []
    assert reached[:2] == ["coverage of all         92.9 % (floor 90)", "coverage of agents      95.0 % (floor 95)"]
    assert len(reached) == 7


def test_below_a_floor_the_missing_lines_of_its_package_alone_are_named() -> None:
    files = [MeasuredFile(f"{folder}one.py", 100, 0, "") for folder in PACKAGES]
    store = MeasuredFile("squire_pipelines/ledger/store.py", 100, 12, "3-5, 9, 20-27")
    _, problems = compare([*files, store, MeasuredFile("squire_pipelines/cli/main.py", 100, 1, "7")])
    assert problems == [
        "squire_pipelines/ledger/store.py: no test runs 3-5, 9, 20-27",
        "squire: error: coverage of ledger is below 95 %",
    ]


def test_where_nothing_was_measured_no_floor_is_reached() -> None:
    reached, problems = compare([])
    assert reached[0] == "coverage of all          0.0 % (floor 90)"
    assert len(problems) == len(FLOORS)


_A_TEMPLATE_IS_MEASURED = """
from coverage import Coverage
coverage = Coverage(data_file=None)
coverage.start()
from squire_pipelines.board.rendering import make_environment
make_environment().get_template("macros.html").module
coverage.stop()
print(*sorted(coverage.get_data().measured_files()), sep="\\n")
"""


def test_a_template_is_no_file_that_is_measured() -> None:
    program = [sys.executable, "-c", _A_TEMPLATE_IS_MEASURED]
    measured = subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert str(ROOT / "squire_pipelines/board/rendering.py") in measured
    assert [path for path in measured if not path.endswith(".py")] == []
