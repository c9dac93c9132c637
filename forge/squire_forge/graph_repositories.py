"""GraphQL resolvers of repositories, branches, commits and their checks."""

from collections import Counter
from typing import Any

from squire_forge import store, store_checks
from squire_forge.app_checks import runs_of_apps
from squire_forge.checks import APP_ID, APP_NAME, APP_SLUG, WORKFLOW_NAME
from squire_forge.connections import page
from squire_forge.graph_core import (
    Commit,
    Context,
    NotFoundError,
    Ref,
    Rollup,
    RollupContexts,
    StateCount,
    on,
    ordered,
    paging,
)
from squire_forge.records import Account, CheckRun, CommitStatus, Pull, Repository, Suite, Ticket
from squire_forge.world import VIEWER_LOGIN, node_id


def pull_state(pull: Pull) -> str:
    """Return the state as GraphQL names it, which has MERGED as a state of its own."""
    return "MERGED" if pull.merged else pull.state.upper()


@on("Query", "rateLimit")
def _rate_limit(_: Any, __: Context) -> dict[str, object]:
    return {}


@on("RateLimit", "limit")
def _limit(_: Any, context: Context) -> int:
    return context.quota.limit


@on("RateLimit", "remaining")
def _remaining(_: Any, context: Context) -> int:
    return context.quota.remaining


@on("RateLimit", "cost")
def _cost(_: Any, context: Context) -> int:
    return context.cost


@on("RateLimit", "resetAt")
def _reset_at(_: Any, context: Context) -> str:
    return context.reset_at


@on("Query", "viewer")
def _viewer(_: Any, context: Context) -> Account:
    row = context.view.con.execute("SELECT id FROM accounts WHERE login = ?", (VIEWER_LOGIN,)).fetchone()
    return store.account(context.view.con, row["id"])


@on("Query", "repository")
def _repository(_: Any, context: Context, *, owner: str, name: str) -> Repository:
    repository = store.find_repository(context.view.con, owner, name)
    if repository is None:
        raise NotFoundError(f"Could not resolve to a Repository with the name '{owner}/{name}'.")
    return repository


@on("User", "url")
@on("Bot", "url")
@on("Organization", "url")
def _account_url(account: Account, context: Context) -> str:
    prefix = "apps/" if account.kind == "Bot" else ""
    return f"{context.view.world.config.web_url}/{prefix}{account.login}"


@on("Repository", "url")
def _repository_url(repository: Repository, context: Context) -> str:
    return f"{context.view.world.config.web_url}/{repository.full_name}"


@on("Repository", "isDisabled")
def _is_disabled(_: Repository, __: Context) -> bool:
    return False


@on("Repository", "isEmpty")
def _is_empty(repository: Repository, context: Context) -> bool:
    return not store.branches(context.view.con, repository.id)


@on("Repository", "branchProtectionRules")
def _branch_protection_rules(_: Repository, __: Context, **arguments: Any) -> Any:
    return page((), "branchProtectionRules", **arguments)


@on("Repository", "defaultBranchRef")
def _default_branch(repository: Repository, context: Context) -> Ref | None:
    sha = store.branches(context.view.con, repository.id).get(repository.default_branch)
    return Ref(repository, repository.default_branch, sha) if sha else None


@on("Repository", "pullRequest")
def _pull_request(repository: Repository, context: Context, *, number: int) -> Pull:
    pull = store.pull(context.view.con, repository, number)
    if pull is None:
        raise NotFoundError(f"Could not resolve to a PullRequest with the number of {number}.")
    return pull


@on("Repository", "issue")
def _issue(repository: Repository, context: Context, *, number: int) -> Ticket:
    issue = store.ticket(context.view.con, repository, number)
    if issue is None or isinstance(issue, Pull):
        raise NotFoundError(f"Could not resolve to an Issue with the number of {number}.")
    return issue


@on("Repository", "pullRequests")
def _pull_requests(repository: Repository, context: Context, **arguments: Any) -> Any:
    states, con = arguments.get("states"), context.view.con
    pulls = [pull for pull in store.pulls(con, repository) if not states or pull_state(pull) in states]
    in_order = ordered(pulls, arguments.get("orderBy"), lambda pull: len(store.comments(con, pull)))
    return page(in_order, "pullRequests", **paging(arguments))


@on("Repository", "issues")
def _issues(repository: Repository, context: Context, **arguments: Any) -> Any:
    states, con = arguments.get("states"), context.view.con
    names = {name.lower() for name in arguments.get("labels") or ()}
    issues = [
        issue
        for issue in store.issues(con, repository)
        if (not states or issue.state.upper() in states)
        and (not names or names & {label.name.lower() for label in store.labels(con, issue.id)})
    ]
    in_order = ordered(issues, arguments.get("orderBy"), lambda issue: len(store.comments(con, issue)))
    return page(in_order, "issues", **paging(arguments))


@on("Ref", "id")
def _ref_id(ref: Ref, _: Context) -> str:
    return node_id("Ref", f"{ref.repository.id}:refs/heads/{ref.name}")


@on("Ref", "target")
def _target(ref: Ref, _: Context) -> Commit:
    return Commit(ref.repository, ref.oid)


@on("Commit", "id")
def _commit_id(commit: Commit, _: Context) -> str:
    return node_id("Commit", f"{commit.repository.id}:{commit.oid}")


@on("Commit", "committedDate")
def _committed_date(commit: Commit, context: Context) -> str:
    return context.view.git(commit.repository).commit(commit.oid).committer.date


@on("Commit", "parents")
def _parents(commit: Commit, context: Context, **arguments: Any) -> Any:
    parents = context.view.git(commit.repository).commit(commit.oid).parents
    return page([Commit(commit.repository, parent) for parent in parents], "parents", **paging(arguments))


@on("Commit", "checkSuites")
def _suites(commit: Commit, context: Context, **arguments: Any) -> Any:
    suite = store_checks.suite(context.view.con, commit.repository, commit.oid)
    return page([suite] if suite else [], "checkSuites", **paging(arguments))


@on("Commit", "statusCheckRollup")
def _rollup(commit: Commit, context: Context) -> Rollup | None:
    return _rollup_of(commit, context)


def _rollup_of(commit: Commit, context: Context) -> Rollup | None:
    con = context.view.con
    suite = store_checks.suite(con, commit.repository, commit.oid)
    runs = store_checks.check_runs(con, suite) if suite else []
    contexts: tuple[CheckRun | CommitStatus, ...] = (
        *runs,
        *runs_of_apps(con, commit.repository, commit.oid),
        *store_checks.statuses(con, commit.repository, commit.oid),
    )
    return Rollup(commit, contexts) if contexts else None


@on("PullRequest", "statusCheckRollup")
def _rollup_of_head(pull: Pull, context: Context) -> Rollup | None:
    return _rollup_of(Commit(pull.repository, pull.head_sha), context)


@on("StatusCheckRollup", "id")
def _rollup_id(rollup: Rollup, _: Context) -> str:
    return node_id("StatusCheckRollup", f"{rollup.commit.repository.id}:{rollup.commit.oid}")


@on("StatusCheckRollup", "state")
def _rollup_state(rollup: Rollup, _: Context) -> str:
    states = {item.conclusion if isinstance(item, CheckRun) else item.state for item in rollup.contexts}
    return next((state.upper() for state in ("error", "failure", "pending") if state in states), "SUCCESS")


@on("StatusCheckRollup", "contexts")
def _contexts(rollup: Rollup, _: Context, **arguments: Any) -> Any:
    asked = page(rollup.contexts, "contexts", **paging(arguments))
    runs = Counter(item.conclusion.upper() for item in rollup.contexts if isinstance(item, CheckRun))
    statuses = Counter(item.state.upper() for item in rollup.contexts if not isinstance(item, CheckRun))
    return RollupContexts(asked.nodes, asked.total_count, asked.page_info, _counts(runs), _counts(statuses))


def _counts(states: Counter[str]) -> tuple[StateCount, ...]:
    return tuple(StateCount(state, count) for state, count in sorted(states.items()))


@on("CheckRun", "status")
def _run_status(_: CheckRun, __: Context) -> str:
    return "COMPLETED"


@on("CheckRun", "conclusion")
@on("CheckSuite", "conclusion")
def _conclusion(source: CheckRun | Suite, _: Context) -> str:
    return source.conclusion.upper()


@on("CheckRun", "detailsUrl")
def _details_url(run: CheckRun, context: Context) -> str:
    return run.details_url or f"{context.view.world.config.web_url}/{run.suite.repository.full_name}/runs/{run.id}"


@on("CheckSuite", "branch")
def _suite_branch(suite: Suite, context: Context) -> Ref | None:
    sha = store.branches(context.view.con, suite.repository.id).get(suite.branch)
    return Ref(suite.repository, suite.branch, sha) if sha else None


@on("CheckSuite", "app")
def _suite_app(suite: Suite, _: Context) -> dict[str, object]:
    return {"name": suite.app or APP_NAME, "slug": suite.app or APP_SLUG}


@on("App", "id")
def _app_id(_: dict[str, object], __: Context) -> str:
    return node_id("App", APP_ID)


@on("CheckSuite", "workflowRun")
def _workflow_run(suite: Suite, _: Context) -> Suite | None:
    return None if suite.app else suite


@on("WorkflowRun", "workflow")
def _suite_itself(suite: Suite, _: Context) -> Suite:
    return suite


@on("WorkflowRun", "event")
def _workflow_run_event(_: Suite, __: Context) -> str:
    return "push"


@on("WorkflowRun", "url")
def _workflow_run_url(suite: Suite, context: Context) -> str:
    return f"{context.view.world.config.web_url}/{suite.repository.full_name}/actions/runs/{suite.id}"


@on("Workflow", "id")
def _workflow_id(suite: Suite, _: Context) -> str:
    return node_id("Workflow", suite.repository.id)


@on("Workflow", "name")
def _workflow_name(_: Suite, __: Context) -> str:
    return WORKFLOW_NAME


@on("StatusContext", "state")
def _status_state(status: CommitStatus, _: Context) -> str:
    return status.state.upper()


@on("StatusContext", "targetUrl")
def _target_url(status: CommitStatus, _: Context) -> str | None:
    return status.target_url
