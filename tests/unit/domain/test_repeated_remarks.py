from squire_pipelines.domain.repeated_remarks import MAX_REMARKS, ReviewRemark, repeated


def remark(pull_request: int, text: str, author: str = "ann") -> ReviewRemark:
    return ReviewRemark(pull_request, author, text)


def test_what_is_asked_on_several_pull_requests_is_one_remark_in_its_newest_words() -> None:
    answers = repeated(
        [
            remark(9, "Please add a test for `parse_date`."),
            remark(7, "This loop has no bound.", "bob"),
            remark(4, "Could you add a test for the parser?"),
            remark(4, "Add tests for this parser, please."),
        ]
    )
    assert [(answer.count, answer.pull_requests, answer.text) for answer in answers] == [
        (3, (4, 9), "Please add a test for `parse_date`.")
    ]


def test_a_remark_that_is_repeated_on_one_pull_request_alone_is_no_habit() -> None:
    assert repeated([remark(3, "Rename the helper function"), remark(3, "Rename the helper function")]) == ()


def test_remarks_without_common_words_are_different_ones() -> None:
    assert repeated([remark(1, "nit"), remark(2, "nit"), remark(3, "")]) == ()


def test_the_oldest_of_very_many_are_left_out() -> None:
    many = [remark(1, "Handle the missing key")] * MAX_REMARKS
    assert repeated([*many, remark(2, "Handle the missing key")]) == ()
