"""The table of the checks of `squire doctor`, from which `docs/reference/doctor.md` is written."""

import asyncio
from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.cluster import check_cluster
from squire_pipelines.cli.doctor.disk import check_disk
from squire_pipelines.cli.doctor.engine import check_engine, check_executor
from squire_pipelines.cli.doctor.machine import check_git, check_python
from squire_pipelines.cli.doctor.needed_secrets import check_secrets
from squire_pipelines.cli.doctor.plaintext import check_plaintext
from squire_pipelines.cli.doctor.ports import check_ports
from squire_pipelines.cli.doctor.receivers import check_receivers
from squire_pipelines.cli.doctor.run import DoctorCheck
from squire_pipelines.cli.doctor.stores import check_backups, check_ledger, check_settings, check_warehouse
from squire_pipelines.cli.doctor.workers import check_workers


def check_reload(context: CliContext) -> Iterator[Diagnosis]:
    """Check that each running process works with the settings' file as it is."""
    from squire_pipelines.cli.doctor.reload import check_processes  # noqa: PLC0415 - not needed if the settings fail

    yield from check_processes(context)


def check_sharing(context: CliContext) -> Iterator[Diagnosis]:
    """Check that no other machine has what is this one's own."""
    from squire_pipelines.cli.doctor import sharing as doctor_sharing  # noqa: PLC0415 - not needed if the settings fail

    yield from doctor_sharing.check_sharing(context)


def check_growth(context: CliContext) -> Iterator[Diagnosis]:
    """Check that what jobs keep small is small."""
    from squire_pipelines.cli.doctor import growth as doctor_growth  # noqa: PLC0415 - SQLAlchemy, likewise

    yield from doctor_growth.check_growth(context)


def check_files(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the store of files takes a file and gives it back."""
    from squire_pipelines.cli.doctor import files as doctor_files  # noqa: PLC0415 - not needed if the settings fail

    yield from doctor_files.check_files(context)


def check_clock(context: CliContext) -> Iterator[Diagnosis]:
    """Check this machine's clock against GitHub's."""
    from squire_pipelines.cli.doctor import clock as doctor_clock  # noqa: PLC0415 - httpx, not needed if the settings fail

    yield from doctor_clock.check_clock(context)


def check_providers(context: CliContext) -> Iterator[Diagnosis]:
    """Check that each provider of a model that is used takes its key and knows the model."""
    from squire_pipelines.cli.doctor.providers import ask_providers  # noqa: PLC0415 - likewise

    yield from ask_providers(context.settings)


def check_prices(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the price of each model that is called is known."""
    from squire_pipelines.cli.doctor import prices as doctor_prices  # noqa: PLC0415 - the price library takes a while

    yield from doctor_prices.check_prices(context)


def check_github(context: CliContext) -> Iterator[Diagnosis]:
    """Check that GitHub answers, and that Squire may do its work in each repository of the settings."""
    from squire_pipelines.cli.doctor.github import ask_github  # noqa: PLC0415 - likewise
    from squire_pipelines.health.github_credentials import known_access  # noqa: PLC0415 - likewise

    access = known_access(context.settings)
    if access is not None:
        yield from asyncio.run(ask_github(context.settings, access))


def check_rules(context: CliContext) -> Iterator[Diagnosis]:
    """Check that no ruleset of a repository refuses what Squire pushes."""
    from squire_pipelines.cli.doctor import rules as doctor_rules  # noqa: PLC0415 - likewise

    yield from doctor_rules.check_rules(context)


def check_logs(context: CliContext) -> Iterator[Diagnosis]:
    """Check the size of the processes' logs."""
    from squire_pipelines.cli.doctor import logs as doctor_logs  # noqa: PLC0415 - likewise

    yield from doctor_logs.check_logs(context)


def check_tracing(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the endpoint of traces takes them."""
    from squire_pipelines.cli.doctor import tracing as doctor_tracing  # noqa: PLC0415 - likewise

    yield from doctor_tracing.check_tracing(context)


def check_merging(context: CliContext) -> Iterator[Diagnosis]:
    """Check whether Squire may merge where the settings want that."""
    from squire_pipelines.cli.doctor import merging as doctor_merging  # noqa: PLC0415 - likewise

    yield from doctor_merging.check_merging(context)


def check_webhook(context: CliContext) -> Iterator[Diagnosis]:
    """Check that a delivery of GitHub's arrives."""
    from squire_pipelines.cli.doctor import webhook as doctor_webhook  # noqa: PLC0415 - likewise

    yield from doctor_webhook.check_webhook(context)


def check_hooks(context: CliContext) -> Iterator[Diagnosis]:
    """Check the senders beside GitHub."""
    from squire_pipelines.cli.doctor import hooks as doctor_hooks  # noqa: PLC0415 - likewise

    yield from doctor_hooks.check_hooks(context)


def check_alerts(context: CliContext) -> Iterator[Diagnosis]:
    """Check that alerts have somewhere to go and arrive there."""
    from squire_pipelines.cli.doctor import alerts as doctor_alerts  # noqa: PLC0415 - likewise

    yield from doctor_alerts.check_alerts(context)


def check_answers(context: CliContext) -> Iterator[Diagnosis]:
    """Check that each model answers in a given form."""
    from squire_pipelines.cli.doctor import model as doctor_model  # noqa: PLC0415 - pydantic-ai takes seconds to import

    yield from doctor_model.check_answers(context)


CHECKS: tuple[DoctorCheck, ...] = (
    DoctorCheck(
        "settings",
        "The settings can be read with their files of goals, and name a repository.",
        "the line names the key and the line; `squire config edit` changes it",
        check_settings,
    ),
    DoctorCheck(
        "reload",
        "Each running process has taken the settings as they are now, and none waits for a restart.",
        "the line names the process; `squire config reload` has all of them read the settings again",
        check_reload,
    ),
    DoctorCheck(
        "python",
        "The interpreter runs in a virtual environment of its own.",
        "`make setup`, or install Squire into a virtual environment",
        check_python,
    ),
    DoctorCheck(
        "git",
        "git 2.39 or newer is there, with the part that serves the demo's repositories.",
        "the line has the command of this machine's package manager",
        check_git,
    ),
    DoctorCheck(
        "disk",
        "The home can be written to and has room (a warning below 1 GiB, a failure below 100 MiB). The line `home` has "
        "the sizes of its parts, their growth in a day by their files' times, and how long the disk has room for it (a "
        "warning below 14 days).",
        "the line names the part that is largest or grows most, and what makes it smaller",
        check_disk,
    ),
    DoctorCheck(
        "sharing",
        "No SQLite of Squire's is on a file system that machines may share, and no other machine serves this home. "
        "Where another one has done so, this takes 12 seconds.",
        "the line names the file system or the machine; see [Many machines](../guide/many-machines.md)",
        check_sharing,
    ),
    DoctorCheck(
        "logs",
        "What the logs of the processes take, which `logging.max_file` and `logging.files` bound. While something is "
        "debugged, a line `debugging` says what and until when.",
        "start Squire again: the processes get their bounds when they start; `squire debug off` ends debugging",
        check_logs,
    ),
    DoctorCheck(
        "tracing",
        "Where traces are sent to OpenTelemetry, its endpoint takes a request without spans (else a warning: nothing "
        "waits for it).",
        "the line says what the endpoint answers; see [Tracing](../guide/tracing.md#opentelemetry)",
        check_tracing,
    ),
    DoctorCheck(
        "port",
        "The ports of the webhook receiver and of Dagster's UI are free, or this home's own processes hold them.",
        "stop the process that the line names, or take the free port that it offers",
        check_ports,
    ),
    DoctorCheck(
        "ledger",
        "The ledger is whole and has this version's schema; repositories are those that their names meant before.",
        "`squire ledger check` shows all problems",
        check_ledger,
    ),
    DoctorCheck(
        "growth",
        "What jobs and processes keep small is within its [bound](../guide/bounds.md): runs of Dagster, folders of "
        "attempts, mirrors, caches, counters, backups, images of programs, answers of models, alerts that wait, and "
        "rows of each table of the ledger that are to be archived or deleted.",
        "the line says which job removes it",
        check_growth,
    ),
    DoctorCheck(
        "files",
        "Where a [store of files](../guide/many-machines.md#what-lies-in-files) is set, a small file is written there, "
        "read again and removed.",
        "the line names what is wrong: the store, its address, the credentials, the clock or the room there",
        check_files,
    ),
    DoctorCheck(
        "workers",
        "Where runs go to [workers](../guide/many-machines.md#workers): the broker takes a message, workers live, none "
        "refuses work for its version, and each agent has a worker with its labels.",
        "the line names the broker's trouble, the worker, or the labels to start one with",
        check_workers,
    ),
    DoctorCheck(
        "receivers",
        "With a ledger on Postgres: the [receivers of all machines](../guide/many-machines.md#several-receivers) have "
        "the same secrets. Digests of them are compared, which each receiver writes to the ledger.",
        "the line names the receiver that still has an old secret alone, and how it gets the new one",
        check_receivers,
    ),
    DoctorCheck(
        "backup",
        "Scheduled backups are made (a warning when the newest is older than two of them), and no restore into this "
        "home was left unfinished.",
        "`squire backup` makes one; `squire restore FILE` begins an unfinished one anew",
        check_backups,
    ),
    DoctorCheck(
        "engine",
        "A container engine answers; its `runtime`; each agent's image is on it; the limits can be had (`runner`).",
        "start the engine, or build the image: the line has the command",
        check_engine,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "kubernetes",
        "Where agents run as [Jobs of a cluster](kubernetes.md): the API server answers, Squire's account has the "
        "rights that it needs and no others that matter, the namespace enforces the Pod Security level `restricted`, "
        "and the name of the door is known.",
        "the line names the right, the label or the name; `kubectl auth can-i` asks for one right",
        check_cluster,
    ),
    DoctorCheck(
        "executor",
        "Step containers can run, where `pipeline.executor` asks for them.",
        'build the image with `scripts/images.sh pipeline`, or set `pipeline.executor = "in_process"`',
        check_executor,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "warehouse",
        "The warehouse's file answers a query.",
        "`squire history publish --full` writes it anew from ledger and archive",
        check_warehouse,
    ),
    DoctorCheck(
        "secrets",
        "Where secrets are kept: keychain, encrypted file and its passphrase, plain files, core dumps. Then each "
        "secret that the settings have a use for, by its name: found, and where.",
        "`squire secrets set NAME`, which uses the encrypted file on a machine without a keychain",
        check_secrets,
    ),
    DoctorCheck(
        "plaintext",
        "No secret lies in the clear: in environment variables (in containers they are the orchestrator's way), in the "
        "settings' file and its earlier copies, in what the old product left.",
        "the line has the command that seals the secret; replace it where it was made, too",
        check_plaintext,
    ),
    DoctorCheck(
        "models",
        "Each provider of a model that is called takes its key and knows the model. The provider's list of models is "
        "read, which is free; on a cloud's platform one token is asked for, or tokens are counted.",
        "the line says what the provider refuses: key, credit, name or address",
        check_providers,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "prices",
        "The price of each model that is called is known, by the settings or by the price library. Without one, a "
        "budget in US dollars lets no attempt start (a failure); else its cost is not known (a warning).",
        "the line has the table of the settings in which the price belongs",
        check_prices,
    ),
    DoctorCheck(
        "clock",
        "This machine's clock differs from GitHub's by less than 5 s (a failure from 60 s on, when an App's key is "
        "refused).",
        "the line has the command that sets the clock on this machine",
        check_clock,
    ),
    DoctorCheck(
        "github",
        "GitHub answers, takes the token or the App's key, and grants what is needed in the first 20 repositories. "
        "Writing is asked for with a body that GitHub refuses, so that nothing is changed.",
        "[GitHub access](../guide/github-access.md) has the permissions",
        check_github,
        timeout_s=120.0,
    ),
    DoctorCheck(
        "rules",
        "No ruleset and no branch protection refuses Squire's branches and commits (signatures, names, creation, pull "
        "requests, checks, workflows, patterns) in the first 20 repositories, unless its account may bypass it. What "
        "refuses some changes alone (paths, endings, sizes), or merges into the default branch, is a warning.",
        "exclude Squire's branches (see `publishing.branch_prefix`) from the rule, or let Squire's account bypass it",
        check_rules,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "merging",
        "In the first 20 repositories where `follow.merge.enabled` is on: the token may merge, the repository allows "
        "the method, and a person's approval is asked for, by the settings or by the default branch's protection.",
        "the line says which right, method or approval is missing",
        check_merging,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "webhook",
        "Each of the first 20 repositories has a webhook that leads here, and a ping through the first one is in the "
        "inbox within 12 s. Of an App, the last delivery counts; without the permission Webhooks, what has arrived.",
        "the line says whether the address, the secret or the receiver is to be corrected",
        check_webhook,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "hooks",
        "Each sender of `[hooks]` that is switched on has a reader and its secrets, and signs in a way that there is. "
        "The line has the time of its newest delivery.",
        "the line names the secret or the key; [Other senders](hooks.md) has the schemes",
        check_hooks,
        timeout_s=60.0,
    ),
    DoctorCheck(
        "alerts",
        "Where the settings name targets of alerts: the endpoint that sends them is started, Apprise is installed "
        "where it is needed, and no message waits for a target that does not take it. Nothing is sent.",
        "`squire alerts test` sends a test to each target, and says why one does not take it",
        check_alerts,
    ),
)
"""In the order of the report; the first one runs before all others."""

PAID_CHECKS: tuple[DoctorCheck, ...] = (
    DoctorCheck(
        "model answers",
        "With `--model` alone: each model that is called answers one tiny question in a given form, as plans need it. "
        "At most two requests of 2,048 tokens each are made, for less than a cent with most models; they are reserved "
        "in the budget and recorded in the ledger.",
        "the line says what the model or its provider cannot do: take another model for `planner.model`",
        check_answers,
        timeout_s=300.0,
    ),
)
