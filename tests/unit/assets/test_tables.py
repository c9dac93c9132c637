import pytest

from squire_pipelines.assets.tables import block, bullets, escape, preview


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


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    table = preview(("number",), ([number] for number in range(25))).value
    assert table is not None
    lines = table.splitlines()
    assert lines[:3] == ["| number |", "| --- |", "| 0 |"]
    assert lines[-1] == "… and 5 more"
    assert len(lines) == 2 + 20 + 2


def test_an_empty_table_has_its_head() -> None:
    assert preview(("a", "b"), []).value == "| a | b |\n| --- | --- |"


def test_a_block_cannot_be_closed_by_what_is_in_it() -> None:
    shown = block(["fine", "```", "[click](http://tracker)", "`````"]).value
    assert shown == "``````text\nfine\n```\n[click](http://tracker)\n`````\n``````"
    assert block([]).value == "```text\n\n```"


def test_a_list_of_remarks_is_no_markup() -> None:
    assert bullets(["see [x](http://tracker)", "two\nlines"]).value == "- see \\[x\\](http://tracker)\n- two lines"
    assert bullets([]).value == "none"
