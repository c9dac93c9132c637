from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.planning.code_overview import MAX_FOLDERS, folder_lines, languages_of


def test_languages_are_ordered_by_bytes_and_foreign_code_is_not_counted() -> None:
    files = [("a.py", 300), ("b.ts", 100), ("node_modules/x.js", 9_000), ("README.md", 500), ("empty.rs", 0)]
    assert [(language.name, language.share) for language in languages_of(files)] == [
        ("Python", 0.75),
        ("TypeScript", 0.25),
    ]


def test_folders_near_the_root_come_first_each_with_its_files() -> None:
    paths = ["src/pkg/deep.py", "README.md", "src/app.py", "a/b.txt", "vendor/x/1.go", "vendor/2.go"]
    assert folder_lines(paths) == (
        "./: README.md",
        "a/: b.txt",
        "src/: app.py",
        "vendor/: 2 files",
        "src/pkg/: deep.py",
    )


def test_of_a_large_folder_some_files_are_named_and_the_others_counted() -> None:
    (line,) = folder_lines([f"src/{number:03}.py" for number in range(50)])
    assert line.startswith("src/: 000.py, 001.py")
    assert line.endswith("019.py, … 30 more")


@given(st.lists(st.text(max_size=50), max_size=400))
def test_whatever_the_paths_are_the_lines_are_few_and_short(paths: list[str]) -> None:
    lines = folder_lines(paths)
    assert len(lines) <= MAX_FOLDERS + 1
    assert all(len(line) <= 400 for line in lines)
