import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.commands import (
    MAX_ARGUMENT_CHARS,
    MAX_COMMANDS,
    MAX_COMMENT_CHARS,
    CommandName,
    CommentCommand,
    parse_commands,
)

DO, APPROVE = CommandName.DO, CommandName.APPROVE
_PIECES = st.sampled_from(
    ["/squire do", "/squire approve ", "/SQUIRE stop", "```", "~~~~", "> ", "<!--", "-->", "\n", "\r\n", "    ", "text"]
)


@pytest.mark.parametrize("name", CommandName)
def test_every_command_is_read_at_the_beginning_of_a_line_in_any_case(name: CommandName) -> None:
    assert parse_commands(f"Thanks!\n /Squire {name.upper()} t0m1e2x3a4m5p6l\r\n") == (
        CommentCommand(name, "t0m1e2x3a4m5p6l"),
    )
    assert parse_commands(f"/squire {name}") == (CommentCommand(name),)


def test_an_order_has_all_lines_up_to_the_next_command_without_quoted_ones() -> None:
    comment = (
        "/squire do Drop Python 3.9.\n\n```py\n/squire stop\n```\n> /squire reject\nAnd its tests.\n/squire approve"
    )
    order = "Drop Python 3.9.\n\n```py\n/squire stop\n```\nAnd its tests."
    assert parse_commands(comment) == (CommentCommand(DO, order), CommentCommand(APPROVE))


@pytest.mark.parametrize(
    "comment",
    [
        "please /squire approve",
        "> /squire approve",
        "    /squire approve",
        "\t/squire approve",
        "```\n/squire approve\n```",
        "~~~ text\n```\n/squire approve",
        "`/squire approve`",
        "<!-- \n/squire approve\n-->",
        "<!-- \n--> <!--\n/squire approve\n-->",
        "/squire approves",
        "/squire",
        "/squires approve",
        "- /squire approve",
        "",
        "/squire approve\n" + "x" * MAX_COMMENT_CHARS,
    ],
)
def test_what_is_quoted_code_hidden_or_no_command_asks_for_nothing(comment: str) -> None:
    assert parse_commands(comment) == ()


def test_a_line_after_closed_code_or_comment_is_read_again() -> None:
    assert parse_commands("```\nx\n````\n<!-- a --> b\n/squire approve") == (CommentCommand(APPROVE),)


@given(st.lists(_PIECES | st.text(max_size=20), max_size=60).map("".join))
def test_any_comment_gives_a_bounded_answer(comment: str) -> None:
    commands = parse_commands(comment)
    assert len(commands) <= MAX_COMMANDS
    for command in commands:
        assert len(command.text) <= (len(comment) if command.name is DO else MAX_ARGUMENT_CHARS)
