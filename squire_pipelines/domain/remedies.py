"""What to do about each cause by which an attempt ends, and about each code of an error. Pure texts.

Messages name the values at fault and the next step; these say what the name itself means, in a page that is complete.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from squire_pipelines.domain.endings import Cause


@dataclass(frozen=True, slots=True)
class CauseText:
    """What a cause means, and what to do about it."""

    meaning: str
    remedy: str


CAUSES: Mapping[Cause, CauseText] = {
    Cause.COMPLETED: CauseText(
        "The agent's change passed all checks, and its pull request is open.", "Review the pull request."
    ),
    Cause.NO_CHANGES: CauseText(
        "The agent ended well and changed nothing.",
        (
            "Read its answer with `squire tasks logs ID`. If there was something to do, ask for it more exactly "
            "with `squire tasks new`."
        ),
    ),
    Cause.NOT_STARTABLE: CauseText(
        "The task asks for more than the settings permit, or the agent's settings became unusable before its start.",
        "Correct the setting that the message names, then `squire tasks retry ID`.",
    ),
    Cause.AGENT_ERROR: CauseText(
        "The agent's program ended with an error of its own.",
        (
            "`squire tasks logs ID` has its last words. With `agent.keep_failed_containers = true` the container "
            "is kept for a look."
        ),
    ),
    Cause.AGENT_NOT_FOUND: CauseText(
        "The agent's program is not in the image.",
        "`squire agents build NAME` makes an image that has it; `squire agents check` tries it.",
    ),
    Cause.PROVIDER_ERROR: CauseText(
        "The model's provider failed or did not answer.",
        "Nothing: the task is tried again. When it happens always, `squire doctor --model` asks the provider.",
    ),
    Cause.CONFIGURATION: CauseText(
        "The model's provider refuses what only you can change: key, model, quota or address.",
        "Change it. After a change of the settings or a key the task goes on by itself, else `squire tasks retry ID`.",
    ),
    Cause.BUDGET_EXHAUSTED: CauseText(
        "The attempt has used what `budgets.attempt` permits.",
        "Raise the budget or split the task, then `squire tasks retry ID`.",
    ),
    Cause.TIMEOUT: CauseText(
        "The agent's time was over, and there was no work that could be kept.",
        "Raise `agent.limits.wall_clock_s`, or split the task.",
    ),
    Cause.OUT_OF_MEMORY: CauseText(
        "The container needed more memory than it may have.",
        "Raise `agent.limits.memory`, or set `agent.oom_retry_memory` for one more try with more.",
    ),
    Cause.KILLED: CauseText(
        "Something other than Squire ended the container: the machine for want of memory, or a person.",
        "Nothing: the task is tried again. When it happens again, look for `oom` in the machine's kernel log.",
    ),
    Cause.CANCELLED: CauseText(
        "A person cancelled the task, or the run was terminated.", "`squire tasks retry ID` starts it again."
    ),
    Cause.ENGINE_LOST: CauseText(
        "The container engine did not answer for `agent.engine_patience_s`.",
        "Start the engine (`make engine`); the task is tried again by itself.",
    ),
    Cause.IMAGE_MISSING: CauseText(
        "The worker image is not on the engine.", "`scripts/images.sh worker`, or `squire agents build NAME`."
    ),
    Cause.LOG_OVERFLOW: CauseText(
        "The agent wrote more than `agent.limits.log`.",
        'Raise the limit, or set `agent.log_overflow = "truncate"`.',
    ),
    Cause.DISK_FULL: CauseText(
        "A disk, or one of the container's own file systems, was full.",
        (
            "Free space (`docker system prune`), or raise `agent.limits.output`, `workspace` or `tmp`. The task "
            "is tried again."
        ),
    ),
    Cause.WORKSPACE_ERROR: CauseText(
        "The attempt's workspace could not be written or read.",
        "The message names the file. Correct its permissions or the disk, then `squire tasks retry ID`.",
    ),
    Cause.BUNDLE_INVALID: CauseText(
        "The agent's commits could not be taken: they are damaged, too large or not based on the branch.",
        "`squire tasks show ID` names the problem; `squire tasks retry ID` begins anew.",
    ),
    Cause.POLICY_REJECTED: CauseText(
        "The change breaks a rule of the policy.",
        "The message names the rule and the file. Change the request or `[policy]`, then `squire tasks retry ID`.",
    ),
    Cause.PUBLISH_REFUSED: CauseText(
        "GitHub refuses the push or the pull request.",
        (
            "The reason is in [Refused pushes](../troubleshooting.md#refused-pushes); then `squire tasks retry "
            "ID` publishes the work that is kept."
        ),
    ),
    Cause.GITHUB_UNAVAILABLE: CauseText(
        "GitHub did not answer, or a limit of its was reached, while the work was published.",
        "Nothing: the task is tried again, and the work is kept.",
    ),
    Cause.STORE_UNAVAILABLE: CauseText(
        "The store of files, which may have finished work of the task, did not answer before an agent would run again.",
        "`squire doctor` says what is wrong with it (`files`); the task is tried again.",
    ),
    Cause.NOT_STARTED: CauseText(
        "No run claimed the attempt in time.",
        "Nothing: it is tried again and is no try. See [A lost attempt](../troubleshooting.md#a-lost-attempt).",
    ),
    Cause.LOST: CauseText(
        "The run that worked on the attempt stopped responding.",
        "Nothing: it is tried again. See [A lost attempt](../troubleshooting.md#a-lost-attempt).",
    ),
    Cause.INTERNAL_ERROR: CauseText(
        "A fault in Squire itself.",
        "`squire logs --task ID` has its traceback; report it, then `squire tasks retry ID`.",
    ),
}

REMEDIES: Mapping[str, str] = {
    "already_running": "Stop the other `squire dev`, `run` or `demo`, or set `SQUIRE_HOME` to another folder.",
    "backup": (
        "Take another backup: `squire backup list`. `squire backup verify FILE` says what is wrong with this one."
    ),
    "budget": "Raise `budgets.plan` or a limit of the day, or wait until it is full again: `squire budgets show`.",
    "build_failed": "The end of the build's output says why. Correct it, then run `squire agents build NAME` again.",
    "bundle": "The agent's commits cannot be taken: `squire tasks show ID` names the problem; retry the task.",
    "config": "Correct what the message names; `squire config validate` checks the whole file.",
    "configuration": "Change what the provider refuses (key, model, quota, address); `squire doctor --model` tries it.",
    "credential_source": (
        "See that what gives the cloud's credentials answers: `aws sso login`, the metadata server, a login again."
    ),
    "cluster_refused": (
        "The message has the API server's own words. `squire doctor` names each right that Squire's account lacks."
    ),
    "delivery": "GitHub's page about the webhook shows what it sent. `squire webhooks show ID` shows what was stored.",
    "broker": ("Start the broker, or correct `workers.broker_url` or the secret `broker-key`. Runs wait meanwhile."),
    "engine": (
        "Start the engine: `make engine`, or the service of Docker or Podman. `squire doctor` names which is used."
    ),
    "file_store": "The message has the store's own words. `squire doctor` writes, reads and removes a file in it.",
    "git": "The message has git's last lines. Mostly the disk, the network or a right: correct that and try again.",
    "github": "The message has GitHub's answer. https://www.githubstatus.com says whether GitHub has a fault.",
    "github_auth": (
        "Give another token, `squire secrets set github-token`, or look at the App's key; `squire doctor` tries it."
    ),
    "github_not_found": "Check the name, and that the token may see the repository.",
    "github_permission": (
        "Give the token or the App the permission that the message names: see [Access to "
        "GitHub](../guide/github-access.md)."
    ),
    "github_rate_limit": (
        "Wait: Squire goes on by itself when the limit ends. To need less, raise `collection.interval_s` or "
        "use a GitHub App."
    ),
    "github_unavailable": (
        "Wait and try again; Squire does. When it lasts, look at the network, the proxy and "
        "https://www.githubstatus.com."
    ),
    "github_validation": (
        "GitHub refuses what was asked. The message has its reason; mostly something was changed at GitHub meanwhile."
    ),
    "image_missing": "`scripts/images.sh worker`, or `squire agents build NAME`.",
    "judgement": (
        "Text from outside could not be judged in time or in memory, and nothing was made of it. Nothing is "
        "to be done for Squire."
    ),
    "lease_lost": "Nothing: another run works on the attempt, or it has ended. `squire tasks show ID` says which.",
    "ledger": "See [The ledger](../troubleshooting.md#the-ledger); `squire ledger check` looks for damage.",
    "model_unavailable": "Wait: it is tried again. `squire doctor --model` asks each model now.",
    "not_found": "Check the id: `squire tasks list`, `plans list` and `signals list` have those that there are.",
    "not_reachable": "See that what the message names runs and can be reached from here.",
    "page_position": "Begin at the first page again: `--after` takes what the last page of the same order gave.",
    "passphrase": "Give the right passphrase, at the prompt or by the variable that the message names.",
    "planning": "`squire plans show ID` has the steps and their reasons. The rules plan meanwhile.",
    "port_in_use": (
        "Stop the program that the message names, or set another port: see [Ports](../troubleshooting.md#ports)."
    ),
    "provider_budget": (
        "Raise the providers' limit of a day, add a provider, or wait for the next day: `squire budgets show`."
    ),
    "publish_refused": "See [Refused pushes](../troubleshooting.md#refused-pushes), then `squire tasks retry ID`.",
    "query": "Correct the query at the marks; `squire history shell` shows tables and columns.",
    "refused": "The message names the rule, and what may be changed about it.",
    "repository": "Name a folder that is a git repository with a commit, on a branch.",
    "ledger_moved": "Name the ledger's new place in `ledger_url` or SQUIRE_LEDGER_URL; a move that has not ended is "
    "ended by the same `squire ledger move`.",
    "schema_in_use": "Stop the older processes that the message names, then start again: see "
    "[Upgrading](../guide/upgrading.md#many-machines).",
    "schema_version": "Install the newer Squire again: the ledger was upgraded by it.",
    "secret_missing": "Set it: `squire secrets set NAME`. `squire secrets list` says where each is looked for.",
    "secret_store": (
        "The message names the file. Correct its permissions, or restore it from a backup; nothing was changed."
    ),
    "setting": "Correct the line that is shown: `squire config edit`, or `squire config set KEY VALUE`.",
    "source": "Correct the source that the message names: its file, its package or its answer. The others were read.",
    "state_conflict": "Look again: another person or run was faster, and nothing was changed.",
    "store_clock": "Set this machine's clock by NTP: what is signed five minutes off is refused.",
    "store_denied": (
        "Check the secrets `files-key-id` and `files-key`, or what the cloud's own chain finds, and their rights."
    ),
    "store_full": "Raise the quota, or make room: what is there stays, and work is kept on the machine that did it.",
    "store_missing": "Make the bucket, or mount the file system; `files.url` names it.",
    "store_unreachable": "Wait: it is tried again. When it lasts, look at the network and at `files.url`.",
    "stored_file_damaged": "It is read again. When it lasts, something between here and the store changes what passes.",
    "stored_file_large": "Raise `files.max_object`; the file stays where it is.",
    "stored_file_missing": "Nothing: it was removed by its retention, or is not there yet.",
    "stored_file_taken": "A file is put once: look at both, and remove the one in the store if it is the wrong one.",
    "warehouse": (
        "See [The warehouse](../troubleshooting.md#the-warehouse); `squire history publish --full` makes it anew."
    ),
    "workspace": "The message names the file. Correct its permissions or the disk.",
}
"""What to do, by the `code` of the error."""

_PAGE_LINK = re.compile(r"\[([^\[\]]{1,80})\]\([^()]{1,200}\)")


def remedy_text(cause: Cause) -> str:
    """Return what to do about a cause as text for a terminal, which follows no links between pages."""
    return _PAGE_LINK.sub(r"“\1”", CAUSES[cause].remedy)
