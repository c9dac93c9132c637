"""What a command over several repositories answers when some of them are out of reach."""

import pytest

from squire_pipelines.errors import ExitCode
from squire_pipelines.runtime.exit_codes import code_over_repositories


@pytest.mark.parametrize(
    ("unserved", "failed", "code"),
    [
        ((), False, ExitCode.DONE),
        (("acme/api",), False, ExitCode.PARTLY),
        (("acme/api", "acme/web"), False, ExitCode.FAILED),
        (("acme/api",), True, ExitCode.FAILED),
        ((), True, ExitCode.FAILED),
    ],
)
def test_a_command_is_partly_done_when_some_repositories_were_served_well(
    unserved: tuple[str, ...], *, failed: bool, code: ExitCode
) -> None:
    assert code_over_repositories(("acme/api", "acme/web"), unserved, failed=failed) is code
