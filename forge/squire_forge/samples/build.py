"""Builds the samples on disk: git repositories whose commits are the same on every machine."""

import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath

from squire_forge.git import run_git
from squire_forge.samples.catalogue import SAMPLES
from squire_forge.samples.model import JsonObject, Sample, SampleCommit, SamplePull, SampleRepository


def build_samples(directory: Path) -> tuple[SampleRepository, ...]:
    """Build the sample repositories under `directory` and return them.

    A sample that exists already stays as it is. Commits, and so their names, do not depend on machine, user or time.
    Raises GitError if git fails.
    """
    return tuple(_build(sample, directory) for sample in SAMPLES)


def _build(sample: Sample, directory: Path) -> SampleRepository:
    target = directory / sample.owner / sample.name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        _commit_all(sample, temporary)
        temporary.rename(target)
    default = sample.branches[0].name
    return SampleRepository(
        owner=sample.owner,
        name=sample.name,
        path=target,
        default_branch=default,
        description=sample.description,
        issues=sample.issues,
        pull_requests=tuple(_pull(sample, pull, target) for pull in sample.pulls),
        expectations=sample.expectations,
        agent_command=sample.agent_command,
        test_command=sample.test_command,
        defect_branch=sample.defect_branch,
    )


def _commit_all(sample: Sample, target: Path) -> None:
    default = sample.branches[0].name
    target.mkdir()
    run_git(["git", "init", "--quiet", "--initial-branch", default, "."], cwd=target)
    for branch in sample.branches:
        if branch.name != default:
            run_git(["git", "checkout", "--quiet", "-b", branch.name, default], cwd=target)
        for commit in branch.commits:
            _copy_files(sample, commit, target)
            run_git(["git", "add", "--all"], cwd=target)
            command = ["git", "commit", "--quiet", "--no-gpg-sign", "--no-verify", "-m", commit.message]
            run_git(command, cwd=target, environment=_identity(commit))
    run_git(["git", "checkout", "--quiet", default], cwd=target)


def _identity(commit: SampleCommit) -> Mapping[str, str]:
    email = f"{commit.author.split()[0].lower()}@demo.invalid"
    return {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", commit.author), ("EMAIL", email), ("DATE", commit.date))
    }


def _copy_files(sample: Sample, commit: SampleCommit, target: Path) -> None:
    with resources.as_file(resources.files(__package__).joinpath("data", sample.name, commit.folder)) as source:
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            if path.is_file() and "__pycache__" not in relative.parts and _matches(relative, commit.paths):
                # Stored under another name, so that neither this project's git nor its packager obeys it.
                copy = target / (".gitignore" if relative.name == "gitignore" else relative)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                copy.chmod(0o600)  # git keeps no more of it than that it is not executable


def _matches(relative: Path, patterns: tuple[str, ...]) -> bool:
    """Return whether a pattern of as many parts matches the path; `**` alone matches everything."""
    path = PurePosixPath(relative.as_posix())
    return any(
        pattern == "**" or (len(PurePosixPath(pattern).parts) == len(path.parts) and path.match(pattern))
        for pattern in patterns
    )


def _pull(sample: Sample, pull: SamplePull, target: Path) -> JsonObject:
    threads = []
    for thread in pull.threads:
        text = run_git(["git", "show", f"{pull.head}:{thread.path}"], cwd=target).decode()
        line = next(number for number, content in enumerate(text.splitlines(), 1) if thread.anchor in content)
        threads.append(
            {
                "path": thread.path,
                "line": line,
                "author": thread.author,
                "bot": thread.bot,
                "outsider": thread.outsider,
                "body": thread.body,
            }
        )
    head = run_git(["git", "rev-parse", pull.head], cwd=target).decode().strip()
    comments = []
    if pull.summary is not None:
        author, body = pull.summary
        comments.append({"author": author, "bot": True, "body": body.replace("commit: head", f"commit: {head}")})
    return {
        "head": pull.head,
        "base": sample.branches[0].name,
        "title": pull.title,
        "body": pull.body,
        "author": pull.author,
        "review_threads": threads,
        "comments": comments,
    }
