"""All families of metrics, with what they mean: the page docs/reference/metrics.md is made from them.

Names that the old product had are kept where they mean the same, with its labels `repo` and `status`.
"""

from squire_pipelines.domain.alert_rules import AlertRule, Severity
from squire_pipelines.domain.conditions import ORDER
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.rate_limits import LimitKind
from squire_pipelines.domain.tasks import AttemptStatus, TaskKind, TaskStatus
from squire_pipelines.metrics.family import Family, FamilyKind, Label, Origin, SettingsNames

_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600)
_SHORT_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CALL_S = (0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_LOCK_S = (0.001, 0.01, 0.1, 0.5, 1, 5)
_LAG_S = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

PARTS = (
    "queue", "launch", "claim", "mirror", "image", "warm", "create", "start", "workspace_in", "agent_start",
    "first_call", "agent", "bundle_out", "publish",
)  # fmt: skip
"""Of an attempt, as `domain.timings` has them: `queue` is from its dispatch until Dagster launched its run, `launch`
until that had started, `claim` until it had claimed the attempt. `publish` is from the agent's end to the attempt's."""

SENSORS = (
    "backups", "delivery_repair", "dispatch", "history_follows_events", "outcomes", "plan_follows_signals", "reaper",
    "recovery", "report_deliveries", "seal_audit", "settings", "task_schedules", "warm_pool", "webhooks",
)  # fmt: skip
"""All of Dagster's sensors that are ours; a test compares them with the definitions."""

EVENTS = (
    "check_run", "check_suite", "collect", "collect_fresh", "installation", "installation_repositories",
    "issue_comment", "issues", "ping", "pull_request", "pull_request_review", "pull_request_review_comment",
    "pull_request_review_thread", "push", "repository", "status", "workflow_job", "workflow_run",
)  # fmt: skip
"""The kinds of deliveries that are counted by themselves; `collect` and `collect_fresh` are requests to read."""

CODES = (
    "200", "201", "202", "204", "301", "302", "304", "400", "401", "403", "404", "405", "409", "422", "429", "500",
    "502", "503", "504", "none",
)  # fmt: skip
"""Of GitHub's answers."""

_REPO = Label("repo", SettingsNames.REPOSITORIES)
_MODEL = Label("model", SettingsNames.MODELS)
_PROVIDER = Label("provider", SettingsNames.PROVIDERS)
_SCOPE = Label("repo", SettingsNames.SCOPES)
_STATUS = Label("status", tuple(TaskStatus))
_ENDED = Label("status", tuple(status for status in TaskStatus if status.is_final))
_KIND = Label("kind", tuple(TaskKind))
_CAUSE = Label("cause", tuple(Cause))
_PURPOSE = Label("purpose", ("agent", "plan"))
_LIMIT = Label("kind", tuple(LimitKind))
_PERIOD = Label("period", ("day", "month"))
_SENSOR = Label("sensor", SENSORS)
_CONDITION = Label("condition", ORDER)
_PLACE = Label("place", ("data", "state", "cache"))
_C, _G, _H = FamilyKind.COUNTER, FamilyKind.GAUGE, FamilyKind.HISTOGRAM
_L, _P, _M, _E = Origin.LEDGER, Origin.PROCESSES, Origin.MACHINE, Origin.ENDPOINT

# Tasks
TASKS = Family("squire_tasks", _G, _L, "Tasks in the ledger.", (_STATUS, _KIND))
TASKS_RUNNING = Family("squire_tasks_running", _G, _L, "Tasks with an attempt under way.", (_REPO,))
TASKS_PENDING = Family("squire_tasks_pending", _G, _L, "Tasks that are ready: the queue's depth.", (_REPO,))
OLDEST_WAIT = Family(
    "squire_queue_oldest_wait_seconds",
    _G,
    _L,
    "Since when the longest-waiting ready task is ready.",
)
TASKS_CREATED = Family("squire_tasks_created_total", _C, _L, "Tasks that were made.", (_REPO,))
TASKS_COMPLETED = Family(
    "squire_tasks_completed_total", _C, _L, "Tasks that ended, of whatever success.", (_REPO, _ENDED)
)
TASK_ENDINGS = Family("squire_task_endings_total", _C, _L, "The same by kind and cause.", (_KIND, _ENDED, _CAUSE))
TASK_DURATION = Family(
    "squire_task_duration_seconds", _H, _L, "From a task's making to its end.", (_REPO,), (*_SECONDS, 14400, 86400)
)
TRANSITIONS = Family(
    "squire_ledger_transitions_total",
    _C,
    _L,
    "Changes of state in the ledger.",
    (Label("subject", ("task", "attempt")), Label("after", tuple(dict.fromkeys((*TaskStatus, *AttemptStatus))))),
)

# Attempts and their containers
ATTEMPTS_OPEN = Family(
    "squire_attempts_open",
    _G,
    _L,
    "Attempts that have not ended.",
    (Label("status", tuple(status for status in AttemptStatus if status is not AttemptStatus.ENDED)),),
)
ATTEMPTS_ENDED = Family("squire_attempts_ended_total", _C, _L, "Attempts that ended.", (_CAUSE,))
ATTEMPT_PARTS = Family(
    "squire_attempt_part_duration_seconds",
    _H,
    _L,
    "How long the parts of an attempt took: `queue` until Dagster launched its run, `launch` until that had started, "
    "`claim` until it had claimed the attempt.",
    (Label("part", PARTS),),
    _SECONDS,
)
TASK_START = Family(
    "squire_task_start_seconds",
    _H,
    _L,
    "From an attempt's dispatch to its agent's start.",
    (),
    (1, 2.5, 5, 10, 30, 60, 300),
)
READY_TO_AGENT = Family(
    "squire_ready_to_agent_seconds",
    _H,
    _L,
    "To an agent's start from the moment since when none of Squire's own rules held its task: what the target "
    "`ready_to_agent` measures.",
    (_REPO,),
    (1, 2.5, 5, 10, 15, 20, 30, 60, 120, 300, 900),
)
CONTAINER_STARTS = Family(
    "squire_container_starts_total",
    _C,
    _L,
    "Attempts whose agent was started, by what ran it, and how it ended: by itself, killed (`crashed`), for want of "
    "memory, stopped by Squire, or not known since its run or the engine was lost.",
    (Label("backend", ("docker", "local")), Label("result", ("ended", "crashed", "out_of_memory", "stopped", "lost"))),
)
CONTAINERS_STARTED = Family(
    "squire_containers_started_total",
    _C,
    _P,
    "Containers at their start: agents, checks of their work, gateways, and those that wait for an attempt.",
    (Label("purpose", ("agent", "checks", "gateway", "warm")),),
)
CONTAINERS_ORPHANED = Family(
    "squire_containers_orphaned_total", _C, _P, "Containers without an attempt that were removed."
)

# GitHub
QUOTA_LIMIT = Family("squire_github_quota_limit", _G, _L, "Points or requests in an hour.", (_LIMIT,))
QUOTA_REMAINING = Family(
    "squire_github_quota_remaining", _G, _L, "What is left of them, of the credential with least.", (_LIMIT,)
)
QUOTA_RESET = Family(
    "squire_github_quota_reset_timestamp_seconds", _G, _L, "When that quota is whole again, in Unix time.", (_LIMIT,)
)
QUOTA_FORECAST = Family(
    "squire_github_quota_forecast_remaining",
    _G,
    _L,
    "What will be left at that time if it is used as in the last minutes; below 0 it will not last.",
    (_LIMIT,),
)
GITHUB_BLOCKED = Family(
    "squire_github_blocked_seconds",
    _G,
    _L,
    "How long GitHub is not asked yet after a refusal; 0 for not at all.",
    (_LIMIT,),
)
GITHUB_REQUESTS = Family(
    "squire_github_requests_total",
    _C,
    _P,
    "Requests to GitHub that were sent, by the answer's code, or `none` where none came.",
    (
        _LIMIT,
        Label("code", CODES),
    ),
)
GITHUB_DURATION = Family(
    "squire_github_request_duration_seconds",
    _H,
    _P,
    "From a request's sending to its whole answer.",
    (_LIMIT,),
    _SHORT_S,
)
GITHUB_RETRIES = Family("squire_github_retries_total", _C, _P, "Requests to GitHub that were sent again.")

# Models
MODEL_CALLS = Family(
    "squire_model_calls_total", _C, _L, "Calls of models.", (_PURPOSE, _MODEL, Label("result", ("ok", "failed")))
)
MODEL_TOKENS = Family(
    "squire_model_tokens_total",
    _C,
    _L,
    "Tokens of these calls; `cached` and `cache_write` are part of `input`.",
    (_PURPOSE, _MODEL, Label("kind", ("input", "output", "cached", "cache_write"))),
)
MODEL_COST = Family(
    "squire_model_cost_usd_total", _C, _L, "What they cost, as far as prices are known.", (_PURPOSE, _MODEL)
)
MODEL_UNPRICED = Family(
    "squire_model_calls_unpriced_total", _C, _L, "Calls whose cost nobody knows.", (_PURPOSE, _MODEL)
)
MODEL_DURATION = Family(
    "squire_model_call_duration_seconds", _H, _L, "From a call's beginning to its whole answer.", (_PURPOSE,), _CALL_S
)
MODEL_FIRST_BYTE = Family(
    "squire_model_first_token_seconds",
    _H,
    _P,
    "From a call of a model to the first piece of its answer: of agents' streamed answers, and of planners' whole "
    "ones.",
    (_PURPOSE,),
    _CALL_S,
)
MODEL_RETRIES = Family(
    "squire_model_retries_total",
    _C,
    _P,
    "Questions that were asked again: by a planner whose answer was not taken, and by a gateway at the next provider.",
    (_PURPOSE,),
)
PLAN_ANSWERS = Family(
    "squire_plan_answers_total",
    _C,
    _P,
    "Answers that plans were made from: `kept` ones cost nothing.",
    (Label("source", ("asked", "kept")),),
)

# Budgets
BUDGET_USED = Family(
    "squire_budget_used_usd", _G, _L, "What is spent in the period, without open reservations.", (_PERIOD, _SCOPE)
)
BUDGET_RESERVED = Family(
    "squire_budget_reserved_usd", _G, _L, "What work under way may still spend beyond that.", (_PERIOD, _SCOPE)
)
BUDGET_LIMIT = Family(
    "squire_budget_limit_usd", _G, _L, "The limit of the settings, where there is one.", (_PERIOD, _SCOPE)
)
BUDGET_USED_TOKENS = Family("squire_budget_used_tokens", _G, _L, "The same in tokens.", (_PERIOD, _SCOPE))
BUDGET_RESERVED_TOKENS = Family("squire_budget_reserved_tokens", _G, _L, "The same in tokens.", (_PERIOD, _SCOPE))
BUDGET_LIMIT_TOKENS = Family("squire_budget_limit_tokens", _G, _L, "The same in tokens.", (_PERIOD, _SCOPE))
PROVIDER_USED = Family(
    "squire_provider_budget_used_usd", _G, _L, "What is spent or reserved at a provider today.", (_PROVIDER,)
)
PROVIDER_LIMIT = Family(
    "squire_provider_budget_limit_usd", _G, _L, "What it may cost in a day (`max_usd_per_day`).", (_PROVIDER,)
)

# Deliveries
DELIVERIES_RECEIVED = Family(
    "squire_deliveries_received_total",
    _C,
    _L,
    "Deliveries and other requests to read a repository that were stored; a `filtered` one asks for nothing.",
    (Label("event", EVENTS), Label("effect", ("collects", "filtered"))),
)
DELIVERIES_REFUSED = Family(
    "squire_deliveries_refused_total",
    _C,
    _P,
    "Deliveries that the receiver refused, by the answer's code.",
    (Label("code", ("400", "401", "404", "405", "408", "413", "415", "429", "503")),),
)
DELIVERIES_WAITING = Family("squire_deliveries_waiting", _G, _L, "Deliveries whose reading was not made yet.")
DELIVERY_OLDEST = Family("squire_delivery_oldest_wait_seconds", _G, _L, "How long the oldest of these has waited.")
DELIVERY_LAG = Family(
    "squire_delivery_lag_seconds", _H, _L, "From a delivery's arrival to the reading that it asked for.", (), _LAG_S
)
DELIVERIES_MISSING = Family(
    "squire_deliveries_missing",
    _G,
    _L,
    "Deliveries that GitHub lists and that the newest comparisons of the last day could not have sent again.",
)
DELIVERIES_REDELIVERED = Family(
    "squire_deliveries_redelivered_total", _C, _L, "Deliveries that GitHub was asked to send again."
)
DELIVERY_CHECK_AGE = Family(
    "squire_delivery_check_age_seconds",
    _G,
    _L,
    "How long ago the deliveries of the webhook were compared for which that is longest ago, of the last day.",
)

# The stores, the sensors, the machine
LOCK_WAITS = Family(
    "squire_ledger_lock_wait_seconds",
    _H,
    _P,
    "Waits of transactions for their turn at the ledger on SQLite, of those that had to wait.",
    (),
    _LOCK_S,
)
LEDGER_SIZE = Family(
    "squire_ledger_size_bytes",
    _G,
    _M,
    "The ledger's files on SQLite; its database on Postgres.",
    (Label("file", ("ledger", "wal")),),
)
WAREHOUSE_PUBLISHED = Family(
    "squire_warehouse_published_timestamp_seconds", _G, _M, "When the warehouse was published last, in Unix time."
)
WAREHOUSE_SIZE = Family("squire_warehouse_size_bytes", _G, _M, "The warehouse's file.")
SENSOR_TICKS = Family(
    "squire_sensor_ticks_total",
    _C,
    _P,
    "Ticks of the sensors.",
    (_SENSOR, Label("result", ("ok", "failed"))),
)
SENSOR_LAST_TICK = Family(
    "squire_sensor_last_tick_timestamp_seconds",
    _G,
    _P,
    "When a sensor ticked last, in Unix time.",
    (_SENSOR,),
    is_latest=True,
)
DISK_FREE = Family(
    "squire_disk_free_bytes",
    _G,
    _M,
    "What Squire may still write to the disk of a folder.",
    (_PLACE,),
)
DISK_SIZE = Family("squire_disk_size_bytes", _G, _M, "The size of that disk.", (_PLACE,))
CONDITION = Family(
    "squire_condition",
    _G,
    _M,
    "How something is that Squire needs: 0 ok, 1 degraded, 2 down. docs/guide/operations.md has the conditions.",
    (_CONDITION,),
)
CONDITION_CHECKED = Family(
    "squire_condition_checked_timestamp_seconds", _G, _M, "When that was looked at, in Unix time.", (_CONDITION,)
)

# Alerts
_RULE = Label("rule", tuple(AlertRule))
ALERTS_FIRING = Family(
    "squire_alerts_firing", _G, _L, "Alerts that are not over.", (_RULE, Label("severity", tuple(Severity)))
)
ALERT_MESSAGES_WAITING = Family("squire_alert_messages_waiting", _G, _L, "Messages that wait for their target.")
ALERT_MESSAGES_DROPPED = Family(
    "squire_alert_messages_dropped", _G, _L, "Messages that were dropped, of those that are still in the ledger."
)
ALERT_MESSAGES = Family(
    "squire_alert_messages_total",
    _C,
    _P,
    "Tries to send a message, and messages that were dropped while there was no ledger.",
    (Label("kind", ("webhook", "apprise")), Label("result", ("sent", "failed", "dropped"))),
)

# About the metrics themselves
READINGS = (
    "alerts",
    "attempts",
    "budgets",
    "changes",
    "deliveries",
    "github",
    "ledger",
    "machine",
    "processes",
    "queue",
    "tasks",
)
"""What is read at a time; each has its own rhythm."""

_READING = Label("reading", READINGS)
BUILD = Family("squire_build_info", _G, _E, "Always 1; which Squire serves this.", (Label("version", ()),))
METRICS_AGE = Family("squire_metrics_age_seconds", _G, _E, "How old the values are that this scrape shows.")
READING_DURATION = Family(
    "squire_metrics_reading_duration_seconds", _G, _E, "How long a reading took last.", (_READING,)
)
READING_AGE = Family(
    "squire_metrics_reading_timestamp_seconds",
    _G,
    _E,
    "When it was made last, in Unix time: what takes long is rarer.",
    (_READING,),
)
READING_FAILURES = Family(
    "squire_metrics_reading_failures_total",
    _C,
    _E,
    "Readings that failed; their last values are shown on.",
    (_READING,),
)
PROCESS_FILES = Family("squire_metrics_process_files", _G, _E, "Files of counters of living processes.")

ALL: tuple[Family, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Family))
BY_NAME = {family.name: family for family in ALL}
