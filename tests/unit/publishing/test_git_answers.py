"""What a failed fetch or push means, by what git and GitHub say word for word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import (
    GitError,
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    PublishRefusedError,
    SquireError,
)
from squire_pipelines.publishing.git_answers import classify_failure

URL = "https://github.com/acme/app.git"
ARCHIVED = "This repository was archived so it is read-only."
UNREACHED = f"fatal: unable to access '{URL}/': "


def failure(text: str) -> SquireError:
    return classify_failure(GitError("git push failed", context={"last_lines": tuple(text.splitlines())}), URL)


def refused(status: str, *remote: str, kind: str = "remote rejected", branch: str = "squire/t1-x") -> str:
    lines = [f"remote: {line}        " for line in remote]
    return "\n".join(
        [
            *lines,
            "To https://github.com/acme/app.git",
            f" ! [{kind}] {'a' * 40} -> {branch} ({status})",
            "error: failed to push some refs to 'https://github.com/acme/app.git'",
        ]
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            refused(
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/squire/t1-x.",
                "",
                "- Cannot create ref due to creations being restricted.",
            ),
            "ruleset",
        ),
        (
            refused(
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/squire/t1-x.",
                "",
                "- Commits must have verified signatures.",
                "  Found 1 violation:",
            ),
            "signature",
        ),
        (
            refused(
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/squire/t1-x.",
                "",
                "- GITHUB PUSH PROTECTION",
            ),
            "secret_scanning",
        ),
        (
            refused("protected branch hook declined", "error: GH006: Protected branch update failed for refs/heads/x."),
            "protected_branch",
        ),
        (
            refused(
                "protected branch hook declined",
                "error: GH006: Protected branch update failed for refs/heads/x.",
                "error: Commits must have verified signatures.",
            ),
            "signature",
        ),
        (refused("pre-receive hook declined", "error: GH009: Secrets detected! This push failed."), "secret_scanning"),
        (
            refused(
                "pre-receive hook declined",
                "error: GH001: Large files detected. You may want to try Git Large File Storage.",
                "error: File a.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB",
            ),
            "large_file",
        ),
        (refused("failed", "fatal: pack exceeds maximum allowed size (2.00 GiB)"), "large_push"),
        (f"error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n{'fatal: '}x", "large_push"),
        (
            refused(
                "push declined due to email privacy restrictions",
                "error: GH007: Your push would publish a private email address.",
            ),
            "email_privacy",
        ),
        (
            refused(
                "refusing to allow a GitHub App to create or update workflow `.github/workflows/a (b).yml` without "
                "`workflows` permission"
            ),
            "workflow_permission",
        ),
        (
            refused(
                "refusing to allow a Personal Access Token to create or update workflow `.github/workflows/x.yml` "
                "without `workflow` scope"
            ),
            "workflow_permission",
        ),
        (refused("directory file conflict"), "branch_in_the_way"),
        (
            refused(
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/squire/t1-x': 'refs/heads/squire' exists; cannot create "
                "'refs/heads/squire/t1-x'",
            ),
            "branch_in_the_way",
        ),
        (
            refused(
                "cannot lock ref 'refs/heads/squire/t1-x': 'refs/heads/squire/t1-x/y' exists; cannot create "
                "'refs/heads/squire/t1-x'"
            ),
            "branch_in_the_way",
        ),
        (
            f"remote: {ARCHIVED}\n{UNREACHED}The requested URL returned error: 403",
            "archived",
        ),
        (refused("stale info", kind="rejected"), "branch_moved"),
        (
            refused(
                "failed to update ref",
                f"error: cannot lock ref 'refs/heads/x': is at {'b' * 40} but expected {'c' * 40}",
            ),
            "branch_moved",
        ),
        (refused("pre-receive hook declined", "no commits on Fridays"), "hook"),
    ],
)
def test_each_refusal_of_a_push_has_its_own_reason_and_next_step(text: str, reason: str) -> None:
    refusal = failure(text)
    assert isinstance(refusal, PublishRefusedError)
    assert (refusal.reason, refusal.context["reason"]) == (reason, reason)
    assert refusal.hint


def test_the_branch_in_the_way_is_named() -> None:
    status = (
        "cannot lock ref 'refs/heads/squire/t1-x': 'refs/heads/squire' exists; cannot create 'refs/heads/squire/t1-x'"
    )
    assert "has the branch squire," in failure(refused(status)).message


@pytest.mark.parametrize(
    "text",
    [
        refused("Internal Server Error", "Internal Server Error"),
        refused(
            "failure", "Resolving deltas: 100% (3/3), completed with 3 local objects.", "fatal error in commit_refs"
        ),
        refused("remote failed to report status", "Internal Server Error", kind="remote failure"),
        refused("remote failed to report status", kind="remote failure"),
        refused(
            "failed to update ref",
            "error: cannot lock ref 'refs/heads/x': Unable to create '/r/refs/heads/x.lock': File exists.",
        ),
        f"remote: Internal Server Error\n{UNREACHED}The requested URL returned error: 500",
        f"{UNREACHED}The requested URL returned error: 502",
        f"{UNREACHED}The requested URL returned error: 429",
        "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503",
        "error: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull function.",
        "error: RPC failed; curl 92 HTTP/2 stream 0 was not closed cleanly: CANCEL (err 8)",
        f"{UNREACHED}Could not resolve host: github.com",
        f"{UNREACHED}Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server",
        "send-pack: unexpected disconnect while reading sideband packet",
        "fatal: the remote end hung up unexpectedly",
        "fatal: early EOF",
    ],
)
def test_trouble_of_the_other_side_or_of_the_way_passes(text: str) -> None:
    error = failure(text)
    assert isinstance(error, GitHubUnavailableError)
    assert error.retryable


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"fatal: Authentication failed for '{URL}/'", GitHubAuthError),
        (f"fatal: could not read Username for '{URL}': terminal prompts disabled", GitHubAuthError),
        (
            f"remote: Permission to acme/app.git denied to c.\n{UNREACHED}The requested URL returned error: 403",
            GitHubPermissionError,
        ),
        (f"remote: Repository not found.\nfatal: repository '{URL}/' not found", GitHubNotFoundError),
        ("fatal: '/x' does not appear to be a git repository", GitHubNotFoundError),
        (f"{UNREACHED}SSL certificate problem: self-signed certificate", GitError),
        ("fatal: something else", GitError),
    ],
)
def test_other_failures_are_named_by_what_they_mean(text: str, kind: type[SquireError]) -> None:
    assert type(failure(text)) is kind


def test_time_over_at_the_other_side_can_be_tried_again() -> None:
    error = classify_failure(GitError("x", context={"timed_out": True}), URL)
    assert isinstance(error, GitHubUnavailableError)
    assert error.retryable


WORDS = st.sampled_from(
    [
        *("archived", "GH001", "GH006:", "GH009", "GH013", "large", "file", "secret-scanning", "push", "protection"),
        *("protected", "branch", "rule", "violations", "error:", "403", "404", "401", "502", "TLS", "hung", "up"),
        *("Internal", "Server", "Error", "does", "not", "exist", "exists;", "[rejected]", "refusing", "to", "allow"),
    ]
)


@given(branch=st.lists(WORDS, min_size=1, max_size=4), message=st.lists(WORDS, max_size=6))
def test_no_word_of_a_branch_or_of_a_hooks_sentence_changes_what_a_refusal_is(
    branch: list[str], message: list[str]
) -> None:
    text = refused(
        "pre-receive hook declined", f"the file {' '.join(message)} may not be here", branch="-".join(branch)
    )
    refusal = failure(text)
    assert isinstance(refusal, PublishRefusedError)
    assert refusal.reason == "hook"


@given(name=st.lists(WORDS, min_size=1, max_size=4))
def test_no_word_of_a_repositorys_name_changes_what_a_failure_is(name: list[str]) -> None:
    url = f"https://github.com/acme/{'-'.join(name)}.git"
    assert type(failure(f"fatal: unable to access '{url}/': some reason of its own")) is GitError
    assert type(failure(f"fatal: repository '{url}/' not found")) is GitHubNotFoundError
