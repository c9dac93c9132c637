"""Which state follows from what was seen of services: GitHub and its quota, models, the daemon, the receiver. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.domain.conditions import ConditionState, HealthLevel
from squire_pipelines.domain.rate_limits import LimitKind, LimitState

TOKEN_LAPSES_WITHIN = timedelta(days=7)
QUOTA_WINDOW = timedelta(hours=1)
_ENOUGH_TO_FORECAST = timedelta(minutes=5)
PLANNER_FAILURES = 3
"""In a row: one or two are a hiccup, and the model is asked again by itself."""

LATE_TICK_S = 60.0
NO_TICK_S = 180.0
"""A sensor is evaluated every five or ten seconds, and a tick may take up to 45."""

LATE_SCHEDULE_S = 120.0
_FAILED_RUNS = 2
_FORGOTTEN_S = 86_400.0
LATE_HEARTBEAT_S = 120.0
"""Dagster's daemon writes one every 30 seconds."""

LATE_PART_S = 300.0
"""One of its parts writes none while it is busy, such as with ending many runs."""

STARTS_WITHIN_S = 120.0
"""So long a process may take until it answers: the code server loads its definitions, on a busy machine for long."""

_DEATHS_IN_A_ROW = 3
_SURE_DEATHS = 2
_UNPROVEN_S = 120.0

_DAEMON_LOG = "its log is `daemon.log` in the folder `run` of the home"
_UNAUTHORIZED = 401
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class GitHubFacts:
    """What GitHub answered to a question that costs nothing.

    Args:
        api_url: That was asked.
        status: Of its answer; None for no answer.
        problem: Why there was none, or what the answer said.
        has_credential: Whether Squire has something to prove who it is.
        locked: Whether what keeps the credential is locked to this process.
        is_app: Whether it is a GitHub App.
        expires_at: When the token lapses; None where GitHub does not say.
    """

    api_url: str
    status: int | None
    problem: str = ""
    has_credential: bool = True
    locked: bool = False
    is_app: bool = False
    expires_at: datetime | None = None


def github_state(facts: GitHubFacts) -> ConditionState:
    """Return whether GitHub answers. One time that it does not may be a hiccup."""
    hint = "check the network and `github.api_url`, and https://www.githubstatus.com"
    if facts.status is None:
        return ConditionState.down(f"{facts.api_url} does not answer: {facts.problem}", hint, is_doubtful=True)
    if facts.status >= _FIRST_SERVER_ERROR:
        return ConditionState.down(f"{facts.api_url} answers {facts.status}", hint, is_doubtful=True)
    return ConditionState.ok(f"{facts.api_url} answers")


def credential_state(facts: GitHubFacts, *, now: datetime) -> ConditionState | None:
    """Return whether GitHub takes the token or the App's key; None where nobody could find out."""
    secret = "github-app-key" if facts.is_app else "github-token"
    name = "the App's key" if facts.is_app else "the token"
    if not facts.has_credential:
        return ConditionState.down("Squire has no token for GitHub", "run `squire secrets set github-token`")
    if facts.locked or facts.status is None or facts.status >= _FIRST_SERVER_ERROR:
        return None
    renew = f"make a new one at GitHub, and run `squire secrets set {secret}`"
    if facts.status == _UNAUTHORIZED:
        hint = f"{renew}{'; check the clock of this machine, too' if facts.is_app else ''}"
        return ConditionState.down(f"GitHub refuses {name} (401): it was revoked, has lapsed or is wrong", hint)
    # GitHub Enterprise Server answers 404 where rate limits are off.
    if facts.status >= _FIRST_ERROR and facts.status != _NOT_FOUND:
        reason = f"GitHub answers {facts.status} to {name}: {facts.problem or 'no reason'}"
        return ConditionState.degraded(reason, f"`squire doctor` says what {name} may do")
    if facts.expires_at is not None and facts.expires_at - now < TOKEN_LAPSES_WITHIN:
        return ConditionState.degraded(f"{name} lapses at {facts.expires_at:%Y-%m-%d %H:%M} UTC", renew)
    return ConditionState.ok(f"GitHub takes {name}")


def quota_ends_at(state: LimitState, *, now: datetime) -> datetime | None:
    """Return when a quota is used up if it is used on as in this window so far; None when it lasts to the window's end.

    Nothing is forecast from a window's first minutes.
    """
    if state.available(now) is None or state.quota is None or state.reset_at is None or state.remaining is None:
        return None
    elapsed = QUOTA_WINDOW - (state.reset_at - now)
    used = state.quota - state.remaining
    if elapsed < _ENOUGH_TO_FORECAST or used <= 0:
        return None
    end = now + elapsed * (state.remaining / used)
    return end if end < state.reset_at else None


def quota_state(states: Mapping[LimitKind, LimitState], *, now: datetime) -> ConditionState:
    """Return how GitHub's quota is, by what its answers said last."""
    for kind, state in sorted(states.items()):
        if state.blocked_until is not None and state.blocked_until > now:
            reason = f"GitHub refuses requests ({kind}) until {state.blocked_until:%H:%M} UTC"
            return ConditionState.degraded(reason, "it ends by itself; read repositories less often if it comes back")
    ends = {kind: end for kind, state in states.items() if (end := quota_ends_at(state, now=now)) is not None}
    if ends:
        kind, end = min(ends.items(), key=lambda item: item[1])
        left = states[kind].remaining
        when = "is used up" if not left else f"is used up at about {end:%H:%M} UTC as it is used now, {left} left"
        reset = states[kind].reset_at
        until = f"; it is renewed at {reset:%H:%M} UTC" if reset is not None else ""
        hint = "read repositories less often, or use a GitHub App, which has more"
        return ConditionState.degraded(f"GitHub's quota ({kind}) {when}{until}", hint)
    known = [
        f"{kind} {state.remaining} of {state.quota}"
        for kind, state in sorted(states.items())
        if state.available(now) is not None
    ]
    return ConditionState.ok(f"left: {', '.join(known)}" if known else "nothing was used in this window")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a provider answered about one model that is called: `user` is `planner` or `agent`."""

    user: str
    provider: str
    state: ConditionState


def models_state(facts: Sequence[ModelFacts]) -> ConditionState:
    """Return how the models are: without one for agents no task is done; plans are then made by rules."""
    bad = [fact for fact in facts if fact.state.level is not HealthLevel.OK]
    if not facts:
        return ConditionState.ok("none is called")
    if not bad:
        return ConditionState.ok(f"{', '.join(dict.fromkeys(fact.provider for fact in facts))} answers")
    worst = max(bad, key=lambda fact: fact.state.level.severity)
    others = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    reason, hint = f"{worst.user}: {worst.state.reason}{others}", worst.state.hint
    agents = [fact for fact in facts if fact.user == "agent"]
    if agents and all(fact.state.level is HealthLevel.DOWN for fact in agents):
        return ConditionState.down(reason, hint, is_doubtful=any(fact.state.is_doubtful for fact in agents))
    return ConditionState.degraded(reason, hint)


def planner_state(failures: int, reason: str = "", last_plan: str = "") -> ConditionState:
    """Return how the planner's model does, by how often in a row it has failed by now, why, and for which plan last."""
    if failures < PLANNER_FAILURES:
        return ConditionState.ok("plans are made")
    text = f"the planner's model has failed {failures} times in a row: {reason or 'no reason'}"
    return ConditionState.degraded(
        text, f"see `squire plans show {last_plan}`; it is asked again by itself, and rules plan meanwhile"
    )


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What is known of a process of this home.

    Args:
        is_recorded: Whether this home has started it, and not stopped it.
        is_alive: Whether it runs.
        is_suspended: Whether somebody has suspended it.
        pid: Its number.
        age_s: How long it has run.
        deaths: How often in a row it has died soon after its start.
    """

    is_recorded: bool = False
    is_alive: bool = False
    is_suspended: bool = False
    pid: int = 0
    age_s: float = 0.0
    deaths: int = 0

    @property
    def is_starting(self) -> bool:
        """Whether it was started moments ago; one that has died before is not waited for."""
        return self.is_alive and not self.is_suspended and not self.deaths and self.age_s < STARTS_WITHIN_S

    @property
    def dies_again(self) -> bool:
        """Whether it runs only because it was started again, and is likely to die as it did before."""
        return self.is_alive and self.deaths >= _DEATHS_IN_A_ROW and self.age_s < _UNPROVEN_S


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What was seen of Dagster's daemon.

    Args:
        process: Its process.
        starter: The process that is about to start it, which waits for the code server first.
        heartbeat_age_s: Of the newest heartbeat of any of its parts; None where there is none or nobody looked.
        tick_age_s: Of the newest tick of any sensor; likewise.
        errors: What its parts reported with their heartbeats.
        late_parts: Its parts without a heartbeat of late, by Dagster's names, such as `SCHEDULER`.
    """

    process: ProcessFacts
    heartbeat_age_s: float | None = None
    tick_age_s: float | None = None
    errors: tuple[str, ...] = ()
    late_parts: tuple[str, ...] = ()
    starter: ProcessFacts = ProcessFacts()


def daemon_state(facts: DaemonFacts) -> ConditionState:
    """Return how the daemon is, without which nothing is collected and no task starts by itself."""
    return _process_state(facts) or _ticks_state(facts) or ConditionState.ok("runs")


def _process_state(facts: DaemonFacts) -> ConditionState | None:
    process = facts.process
    if not process.is_alive and facts.starter.is_starting:
        return ConditionState.starting(f"the daemon is starting, for {facts.starter.age_s:.0f} s by now")
    if process.is_recorded and not process.is_alive:
        reason = f"the daemon has died{_in_a_row(process)}"
        return ConditionState.down(reason, f"`squire dev` starts it again; {_DAEMON_LOG}")
    if process.dies_again:
        reason = f"the daemon dies soon after each start, by now {process.deaths} times in a row"
        return ConditionState.down(reason, _DAEMON_LOG)
    if process.is_suspended:
        return ConditionState.down("the daemon is suspended", _resume_step(process))
    beats = facts.heartbeat_age_s is not None and facts.heartbeat_age_s <= LATE_HEARTBEAT_S
    if not process.is_alive and not beats:
        reason = "no daemon runs: nothing is collected, and no task starts by itself"
        return ConditionState.degraded(reason, "`squire dev` starts one; `squire run` does one cycle without")
    return None


def _in_a_row(process: ProcessFacts) -> str:
    return f", {process.deaths} times in a row" if process.deaths > 1 else ""


def _ticks_state(facts: DaemonFacts) -> ConditionState | None:
    if facts.tick_age_s is not None and facts.tick_age_s > LATE_TICK_S:
        reason = f"no sensor was evaluated for {facts.tick_age_s:.0f} s"
        if facts.tick_age_s > NO_TICK_S:
            # A machine that has slept has had no ticks either.
            return ConditionState.down(reason, f"start `squire dev` again; {_DAEMON_LOG}", is_doubtful=True)
        return ConditionState.degraded(reason, f"it may be the machine's load; {_DAEMON_LOG}")
    if facts.late_parts:
        reason = f"parts of the daemon gave no sign of life for {LATE_PART_S:.0f} s: {', '.join(facts.late_parts)}"
        return ConditionState.degraded(reason, f"start `squire dev` again if it lasts; {_DAEMON_LOG}")
    if facts.errors:
        # Dagster keeps an error of its loops for so long, without its time (`DEFAULT_DAEMON_ERROR_INTERVAL_SECONDS`).
        reason = f"the daemon reports an error of the last five minutes: {facts.errors[0]}"
        return ConditionState.degraded(reason, _DAEMON_LOG)
    return None


def _resume_step(process: ProcessFacts) -> str:
    return f"`kill -CONT {process.pid}`, or start `squire dev` again"


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """The last ticks of one sensor: how old the newest is, how many failed in a row by now, and what the last said."""

    name: str
    age_s: float
    failures: int = 0
    error: str = ""


def sensors_state(sensors: Collection[SensorFacts]) -> ConditionState:
    """Return how the sensors are. One that is much later than the others is stalled."""
    failing = [sensor for sensor in sensors if sensor.failures > 1]
    if failing:
        worst = max(failing, key=lambda sensor: sensor.failures)
        others = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        reason = f"the sensor {worst.name} fails{others}: {worst.error or 'no reason'}"
        return ConditionState.degraded(
            reason, "its ticks are in Dagster's UI, Automation; its log is `code-server.log`"
        )
    newest = min((sensor.age_s for sensor in sensors), default=0.0)
    # A sensor that this version has no more leaves its last tick behind.
    late = sorted(sensor.name for sensor in sensors if NO_TICK_S < sensor.age_s - newest < _FORGOTTEN_S)
    if late:
        reason = f"not evaluated for {NO_TICK_S:.0f} s: {', '.join(late[:5])}"
        return ConditionState.degraded(reason, "see Dagster's UI, Automation: it may have been stopped there")
    return ConditionState.ok(f"{len(sensors)} are evaluated")


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """What was seen of one schedule.

    Args:
        name: Of it.
        overdue_s: How long ago it was due for the second time since its last tick; 0 where it was not.
        failures: How many of its newest ticks failed in a row.
        error: What the last one said.
        failed_runs: How many of the newest runs that it started failed in a row.
    """

    name: str
    overdue_s: float = 0.0
    failures: int = 0
    error: str = ""
    failed_runs: int = 0


def schedules_state(schedules: Collection[ScheduleFacts]) -> ConditionState:
    """Return how the schedules are: whether they tick when they are due, and what becomes of their runs."""
    for schedule in schedules:
        if schedule.failures > 1:
            reason = f"the schedule {schedule.name} fails: {schedule.error or 'no reason'}"
            return ConditionState.degraded(reason, "its ticks are in Dagster's UI, Automation")
    late = sorted(schedule.name for schedule in schedules if schedule.overdue_s > LATE_SCHEDULE_S)
    if late:
        reason = f"due twice, and not evaluated: {', '.join(late[:5])}"
        return ConditionState.degraded(reason, f"see Dagster's UI, Automation; {_DAEMON_LOG}")
    failing = sorted(schedule.name for schedule in schedules if schedule.failed_runs > 1)
    if failing:
        reason = f"the last {_FAILED_RUNS} runs failed that these schedules started: {', '.join(failing[:5])}"
        return ConditionState.degraded(
            reason, "see those runs in Dagster's UI, Runs; `squire logs --since 1d --level error`"
        )
    return ConditionState.ok(f"{len(schedules)} are evaluated")


def server_state(name: str, process: ProcessFacts, problem: str, *, is_vital: bool) -> ConditionState:
    """Return how a server of this home is.

    Args:
        name: As people know it: `webhook receiver`, `code server`.
        process: Its process.
        problem: Why it does not answer; empty where it does.
        is_vital: Whether nothing goes on without it.
    """
    hint = "start `squire dev` again; its log is in the folder `run` of the home"
    if process.is_recorded and not process.is_alive:
        problem = f"its process has died{_in_a_row(process)}"
    elif process.dies_again:
        problem = f"its process dies soon after each start, by now {process.deaths} times in a row"
    elif process.is_suspended:
        problem, hint = "its process is suspended", _resume_step(process)
    if not problem:
        return ConditionState.ok("answers")
    if process.is_starting:
        return ConditionState.starting(f"the {name} is starting, for {process.age_s:.0f} s by now")
    reason = f"the {name} does not answer: {problem}"
    if is_vital:
        return ConditionState.down(reason, hint, is_doubtful=process.deaths < _SURE_DEATHS)
    return ConditionState.degraded(reason, hint)
