import pytest

from squire_pipelines.assets.tables import block, escape, preview


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a | b", r"a \| b"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("<img src=x onerror=y>", r"\<img src=x onerror=y\>"),
        ("![x](http://tracker)", r"\!\[x\](http://tracker)"),
        ("two\nlines\r\n\tand  more", "two lines and more"),
        ("`code` **bold** _it_ # head", r"\`code\` \*\*bold\*\* \_it\_ \# head"),
        ("\\", "\\\\"),
        (None, ""),
        (3, "3"),
    ],
)
def test_text_from_outside_is_no_markup(text: object, safe: str) -> None:
    assert escape(text) == safe


def test_a_cell_has_a_bound() -> None:
    assert escape("x" * 500) == "x" * 119 + "…"


def test_a_long_table_has_a_bound_and_its_numbers_stay_numbers() -> None:
    table = preview(("number", "title"), ([number, f"x\n{number}"] for number in range(25)))
    assert [record.data["number"] for record in table.records] == list(range(20))
    assert table.records[3].data["title"] == "x 3"
    assert [(column.name, column.type) for column in table.schema.columns] == [("number", "int"), ("title", "string")]


def test_an_empty_table_has_its_columns() -> None:
    table = preview(("a", "b"), [])
    assert list(table.records) == []
    assert [column.name for column in table.schema.columns] == ["a", "b"]


def test_a_block_cannot_be_closed_by_what_is_in_it() -> None:
    shown = block(["fine", "```", "[click](http://tracker)", "`````"]).value
    assert shown == "``````text\nfine\n```\n[click](http://tracker)\n`````\n``````"
    assert block([]).value == "```text\n\n```"
