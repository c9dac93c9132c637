"""The consequences of a change of branches: announced pushes, updated pull requests, checks, merges.

Everything follows from the branches of the bare repository and the database. Each step is one transaction and may be
repeated, so that a forge that was killed at any moment continues when it settles again.
"""

import sqlite3
from collections.abc import Iterable

from squire_forge import events, merge_rules, reviewing, store, store_checks, store_closings, store_merging
from squire_forge.checks import CheckResult, evaluate, overall
from squire_forge.errors import RefusedError
from squire_forge.git import GitDirectory, Person
from squire_forge.records import Account, Pull, Repository, Suite
from squire_forge.world import KEEPER_LOGIN, VIEWER_LOGIN, View, World

_MAX_ROUNDS = 200


def settle(world: World, repository_id: int) -> None:
    """Run the checks of new commits, merge what is due, and repeat until nothing follows."""
    with world.lock:
        for _ in range(_MAX_ROUNDS):
            announce(world, repository_id)
            _make_checks(world, repository_id)
            if not (_merge_asked(world, repository_id) or _merge_one(world, repository_id)):
                return


def announce(world: World, repository_id: int) -> None:
    """Record merges and branches that moved, and queue their webhooks."""
    with world.lock:
        with world.database.reading() as con:
            repository = store.repository(con, repository_id)
            opened = store.pulls(con, repository, state="open")
            known = store.branches(con, repository_id)
        actual = world.git(repository).branches()
        for pull in opened:
            _record_merge(world, pull, actual.get(pull.base_ref))
        for name in sorted(known.keys() | actual.keys()):
            if known.get(name) != actual.get(name):
                _record_push(world, repository, name, known.get(name), actual.get(name))


def merge(world: World, pull: Pull, by: Account, *, method: str = "merge", title: str = "", message: str = "") -> None:
    """Merge a pull request into its base branch, as one transaction of git and one of the database.

    Raises RefusedError if the two conflict, GitError if the base branch moved meanwhile.
    """
    git = world.git(pull.repository)
    tip = git.branch(pull.base_ref)
    author = Person(by.login, f"{by.login}@users.noreply.forge.invalid", world.now())
    tree = git.merged_tree(tip, pull.head_sha) if tip else None
    commit: str | None
    if tip is None or tree is None:
        commit = None
    elif method == "rebase":
        commit = git.replayed(tip, git.commits_between(tip, pull.head_sha), author)
    else:
        subject = title or (
            f"{pull.title} (#{pull.number})"
            if method == "squash"
            else f"Merge pull request #{pull.number} from {pull.repository.owner.login}/{pull.head_ref}"
        )
        parents = (tip,) if method == "squash" else (tip, pull.head_sha)
        commit = git.commit_tree(tree, parents, f"{subject}\n\n{message or pull.title}", author)
    if commit is None:
        raise RefusedError("Pull Request is not mergeable")
    with world.database.writing() as con:
        # Written before the branch moves, so that the merge is recognised if the forge stops in between.
        store.change_pull(con, pull.id, candidate_sha=commit, candidate_by=by.id)
    git.update_ref(f"refs/heads/{pull.base_ref}", commit, tip)
    announce(world, pull.repository.id)


def _record_merge(world: World, pull: Pull, base_tip: str | None) -> None:
    git = world.git(pull.repository)
    if base_tip is None:
        return
    if pull.candidate_sha and git.is_ancestor(pull.candidate_sha, base_tip):
        merge_sha = pull.candidate_sha
    elif git.is_ancestor(pull.head_sha, base_tip):
        merge_sha = _first_with_parent(git, pull, base_tip) or pull.head_sha
    else:
        return
    now = world.now()
    with world.database.writing() as con:
        viewer = store.ensure_account(con, VIEWER_LOGIN, "User", now)
        by = store.account(con, pull.candidate_by) if merge_sha == pull.candidate_sha and pull.candidate_by else viewer
        store.touch_ticket(con, pull.id, now, state="closed", closed_at=now)
        store.change_pull(con, pull.id, merged_at=now, merge_sha=merge_sha, merged_by=by.id)
        store_closings.record_closing(con, pull, by, now)
        _emit_fresh(View(world, con), "closed", pull, by)


def _first_with_parent(git: GitDirectory, pull: Pull, base_tip: str) -> str | None:
    """Return the merge commit that somebody made and pushed."""
    between = git.commits_between(pull.head_sha, base_tip)
    return next((sha for sha in between if pull.head_sha in git.commit(sha).parents), None)


def _record_push(world: World, repository: Repository, name: str, before: str | None, after: str | None) -> None:
    now, git = world.now(), world.git(repository)
    with world.database.writing() as con:
        view = View(world, con)
        pusher = store.ensure_account(con, _pusher(git, after), "Bot" if _by_keeper(git, after) else "User", now)
        store.set_branch(con, repository.id, name, after, now)
        fresh = store.repository(con, repository.id)
        events.emit_push(view, fresh, name, before, after, pusher=pusher)
        for pull in store.pulls(con, fresh, state="open"):
            if pull.head_ref != name or pull.fork is not None:
                continue
            if after is None:
                store.touch_ticket(con, pull.id, now, state="closed", closed_at=now)
                store_closings.record_closing(con, pull, pusher, now)
                store_closings.record_deletion(con, pull, pusher, now)
                _emit_fresh(view, "closed", pull, pusher)
            else:
                base = store.branches(con, repository.id).get(pull.base_ref, pull.base_sha)
                store.touch_ticket(con, pull.id, now)
                store.change_pull(con, pull.id, head_sha=after, base_sha=base)
                _outdate_threads(view, pull, after)
                _emit_fresh(view, "synchronize", pull, pusher, before=pull.head_sha, after=after)
                git.update_ref(f"refs/pull/{pull.number}/head", after)


def _by_keeper(git: GitDirectory, tip: str | None) -> bool:
    return tip is not None and git.commit(tip).committer.name == KEEPER_LOGIN


def _pusher(git: GitDirectory, tip: str | None) -> str:
    """Return who pushed: the token's owner, or the keeper for its own merges."""
    return KEEPER_LOGIN if _by_keeper(git, tip) else VIEWER_LOGIN


def _emit_fresh(view: View, action: str, pull: Pull, sender: Account, **extra: object) -> None:
    fresh = store.pull(view.con, store.repository(view.con, pull.repository.id), pull.number)
    if fresh is not None:
        events.emit_pull(view, action, fresh, sender, **extra)


def _outdate_threads(view: View, pull: Pull, head: str) -> None:
    """Mark the threads as outdated whose line has changed."""
    git = view.git(pull.repository)
    for thread in store.threads(view.con, pull):
        if thread.line is None or thread.outdated:
            continue
        then, now = (_line(git, sha, thread.path, thread.line) for sha in (thread.commit_sha, head))
        if then != now:
            view.con.execute("UPDATE threads SET outdated = 1 WHERE id = ?", (thread.id,))


def _line(git: GitDirectory, sha: str, path: str, number: int) -> str | None:
    lines = (git.file(sha, path) or "").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else None


def _make_checks(world: World, repository_id: int) -> None:
    with world.database.reading() as con:
        repository = store.repository(con, repository_id)
        expectations = store_checks.expectations(con, repository_id)
        tips = store.branches(con, repository_id)
        # The default branch comes last, so that its name wins among branches at the same commit.
        names = sorted(tips, key=lambda name: (name == repository.default_branch, name))
        unchecked = {tips[name]: name for name in names if store_checks.suite(con, repository, tips[name]) is None}
    if not expectations:
        return
    git = world.git(repository)
    for sha, branch in unchecked.items():
        results = evaluate(expectations, lambda path, sha=sha: git.file(sha, path))  # type: ignore[misc]
        now = world.now()
        with world.database.writing() as con:
            conclusion = overall([result.conclusion for result in results])
            suite_id = store.insert(
                con,
                "suites",
                repository_id=repository_id,
                sha=sha,
                branch=branch,
                conclusion=conclusion,
                created_at=now,
            )
            _insert_results(con, suite_id, results, now)
            _emit_checks(View(world, con), repository, sha)


def rerun(world: World, suite: Suite) -> None:
    """Run the failed checks of a suite again; each gets a new run, and its earlier one stays."""
    git = world.git(suite.repository)
    with world.lock, world.database.writing() as con:
        failed = {run.name for run in store_checks.check_runs(con, suite) if run.conclusion != "success"}
        expectations = [
            item for item in store_checks.expectations(con, suite.repository.id) if item.check_name in failed
        ]
        results = evaluate(expectations, lambda path: git.file(suite.sha, path), again=True)
        _insert_results(con, suite.id, results, world.now())
        conclusion = overall([run.conclusion for run in store_checks.check_runs(con, suite)])
        con.execute("UPDATE suites SET conclusion = ? WHERE id = ?", (conclusion, suite.id))
        _emit_checks(View(world, con), suite.repository, suite.sha)
    world.touch(suite.repository.id)


def _insert_results(con: sqlite3.Connection, suite_id: int, results: Iterable[CheckResult], now: str) -> None:
    for result in results:
        store.insert(
            con,
            "check_runs",
            suite_id=suite_id,
            name=result.name,
            conclusion=result.conclusion,
            title=result.title,
            summary=result.summary,
            text=result.text,
            started_at=now,
            completed_at=now,
        )


def _emit_checks(view: View, repository: Repository, sha: str) -> None:
    suite = store_checks.suite(view.con, repository, sha)
    if suite is None:
        return
    sender = store.ensure_account(view.con, VIEWER_LOGIN, "User", view.world.now())
    pulls = [pull for pull in store.pulls(view.con, repository, state="open") if pull.head_sha == sha]
    for run in store_checks.check_runs(view.con, suite):
        events.emit_check_run(view, run, pulls, sender)
    events.emit_check_suite(view, suite, pulls, sender)


def _merge_asked(world: World, repository_id: int) -> bool:
    """Merge the first pull request that somebody asked to merge and that may be; return False when there is none."""
    with world.database.writing() as con:
        due = next(merge_rules.due(View(world, con), store.repository(con, repository_id)), None)
        if due is not None:
            store_merging.remove_wish(con, due[0])
    if due is None:
        return False
    pull, wish = due
    merge(world, pull, wish.by, method=wish.method)
    return True


def _is_due(view: View, pull: Pull) -> bool:
    tip = store.branches(view.con, pull.repository.id).get(pull.base_ref)
    merges = tip is not None and view.git(pull.repository).merged_tree(tip, pull.head_sha) is not None
    return merges and not merge_rules.is_behind(view, pull)


def _merge_one(world: World, repository_id: int) -> bool:
    """Merge the first pull request that is due; return False when none is."""
    prefix = world.config.merge_prefix
    if prefix is None:
        return False
    with world.database.reading() as con:
        repository = store.repository(con, repository_id)
        has_checks = bool(store_checks.expectations(con, repository_id))
        due = []
        for pull in store.pulls(con, repository, state="open"):
            suite = store_checks.suite(con, repository, pull.head_sha)
            green = suite.conclusion == "success" if suite else not has_checks
            may_merge = pull.head_ref.startswith(prefix) and not pull.draft and pull.fork is None
            if may_merge and green and _is_due(View(world, con), pull):
                due.append(pull)
    for pull in due:
        if reviewing.is_content(world, pull):
            with world.database.writing() as con:
                keeper = store.ensure_account(con, KEEPER_LOGIN, "Bot", world.now())
            merge(world, pull, keeper)
            return True
    return False
