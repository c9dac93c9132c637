"""A home of the old product with every file that it read, and migrations of it that are killed."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import SquireError
from squire_pipelines.home import Home
from squire_pipelines.migration.places import OldPlaces
from squire_pipelines.migration.plan import MigrationPlan, make_plan, value_at
from squire_pipelines.migration.record import RecordFolder, records_in
from squire_pipelines.migration.takeover import Takeover
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from tests.support.secret_store_faults import KillReport, cheap_store, passphrase

TOKEN, OTHER_TOKEN = "ghp_" + "old1" * 9, "ghp_" + "old2" * 9
GATEWAY_KEY, HOOK_SECRET = "vck_" + "old3" * 9, "hook-" + "old4" * 9
SLACK = "https://hooks.slack.invalid/services/" + "old5" * 6
VALUES = (TOKEN, OTHER_TOKEN, GATEWAY_KEY, HOOK_SECRET, SLACK)
SECRETS = {"github-token": TOKEN, "ai-gateway-key": GATEWAY_KEY, "webhook-secret": HOOK_SECRET}
CONFIG = "# mine\n[planner]\n# goals stay\n"
_MAX_DELAY_S = 0.01

FILES: dict[str, tuple[int, bytes]] = {
    "work/squire.config.json": (
        0o644,
        b'{\n  "githubToken": "%b",\n  "maxConcurrent": 3, "containerRuntime": "runsc"\n}\n' % TOKEN.encode(),
    ),
    "user/.squire/config.json": (0o600, b'{"githubToken": "%b"}' % OTHER_TOKEN.encode()),
    "work/steward.yaml": (
        0o640,
        b"# mine\nsignals:\n  github:\n    repos: [acme/shop]\n    watch: [failed_ci, issues]\n"
        b"execution: {backend: squire, squire: {max_concurrent: 2, default_repo: acme/shop}}\n"
        b"llm:\n  model: openai/gpt-4o-mini  # cheap\nschedule: {interval: 30m}\n"
        b"notify:\n  slack: {webhook: '%b'} # x\n" % SLACK.encode(),
    ),
    "work/.env": (
        0o600,
        b"# AI_GATEWAY_API_KEY=%b\nexport AI_GATEWAY_API_KEY=%b\r\nDATABASE_URL='postgres://a:b@c/d'\n\n"
        b'SQUIRE_WEBHOOK_SECRET="%b" # hook\nSQUIRE_MODEL=openai/gpt-5\nNAME=\xe9'
        % (GATEWAY_KEY.encode(), GATEWAY_KEY.encode(), HOOK_SECRET.encode()),
    ),
}


@dataclass(frozen=True, slots=True)
class OldHome:
    """A folder with the old product's files in `work` and `user`, and Squire's home in `home`."""

    root: Path

    @property
    def home(self) -> Home:
        """Squire's home."""
        folder = self.root / "home"
        return Home(config=folder, data=folder, cache=folder / "cache", state=folder)

    @property
    def sources(self) -> SecretSources:
        """Where its secrets are."""
        return SecretSources(self.home)

    @property
    def config(self) -> SettingsFile:
        """Its settings as they are."""
        return read_settings_file(self.home.config_file)

    def write(self) -> None:
        """Write all files as the old product's user has them, and an encrypted file that is opened in no time."""
        for name, (mode, content) in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        cheap_store(self.home.secret_store).create(passphrase())
        self.home.config_file.write_text(CONFIG)
        self.home.config_file.chmod(0o640)

    def plan(self) -> MigrationPlan:
        """Return what is to be done."""
        places = OldPlaces(self.root / "work", self.root / "user", {}, mounted=self.root / "none")
        return make_plan(places, self.config, "", self.sources.store.names())

    def takeover(self, before_step: Callable[[str], None] = lambda _step: None) -> Takeover:
        """Return what migrates it."""
        return Takeover(self.home, self.sources, RecordFolder(self.home, self.sources), before_step=before_step)

    def is_old(self) -> bool:
        """Return whether every file of the old product is as it was."""
        return all(
            (self.root / name).is_file()
            and (self.root / name).read_bytes() == content
            and (self.root / name).stat().st_mode & 0o777 == mode
            for name, (mode, content) in FILES.items()
        )

    def is_new(self) -> bool:
        """Return whether all secrets can be read and all settings are written."""
        values = self.sources.store.read()
        are_sealed = all(values.get(name) == value for name, value in SECRETS.items())
        return are_sealed and value_at(self.config, ("dispatch", "max_concurrent")) == 2

    def plain_texts(self) -> list[str]:
        """Return the files in which a secret stands in plain text."""
        return [
            str(path)
            for path in self.root.rglob("*")
            if path.is_file() and any(value.encode() in path.read_bytes() for value in VALUES)
        ]

    def problems(self) -> list[str]:
        """Return what is wrong with the state that a killed migration left."""
        problems = [] if self.is_old() or self.is_new() else ["neither the old state nor the new one is whole"]
        if not self.is_old() and not records_in(self.home.migrations):
            problems.append("there is no backup of what was changed")
        return problems

    def settle(self, *, forward: bool) -> list[str]:
        """Do what the next run does, forward or with --rollback; return what is wrong after it."""
        takeover, files = self.takeover(), records_in(self.home.migrations)
        try:
            if files and files[-1].phase == "begun" and forward:
                takeover.finish(files[-1])
            elif files and (files[-1].phase == "undoing" or not forward):
                takeover.undo(files[-1])
        except SquireError as error:
            return [f"the next run fails: {error}"]
        files = records_in(self.home.migrations)
        if any(file.phase != "done" for file in files):
            return ["the next run did not finish it"]
        if files:
            return [] if self.is_new() and not self.plain_texts() else ["finished, and not the new state"]
        is_undone = self.is_old() and not set(self.sources.store.names()) and self.config.text == CONFIG
        return [] if is_undone else ["undone, and not the old state"]


def run_killed(action: Callable[[], object]) -> None:
    """Run in a forked child, which kills itself."""
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            action()
        os._exit(1)
    os.waitpid(pid, 0)


def kill_migrations(root: Path, kills: int, seed: int) -> KillReport:
    """Kill a migration or a rollback after each of its steps has begun, by turns, at a moment that `seed` gives.

    Each time the state is looked at, and the next run settles it, forward or back; then it is undone.
    """
    moments, report, old = random.Random(seed), KillReport(), OldHome(root)  # noqa: S311 - moments of kills
    old.write()
    old.sources.store.unlock(passphrase())
    plan, config, steps = old.plan(), old.config, list[str]()
    takeover = old.takeover(steps.append)
    takeover.undo(takeover.begin(plan, config)[0])
    while report.kills < kills:
        step = report.kills % len(steps)
        _kill_at(old, plan, config, step, moments.random() ** 2 * _MAX_DELAY_S)
        report.kills += 1
        problems = [*old.problems(), *old.settle(forward=moments.random() < 1 / 2), *old.settle(forward=False)]
        if len(old.plain_texts()) != len(FILES):
            problems.append(f"plain text is left: {old.plain_texts()}")
        report.problems += [f"kill {report.kills}, in {steps[step]}: {problem}" for problem in problems]
    return report


def _kill_at(old: OldHome, plan: MigrationPlan, config: SettingsFile, number: int, delay_s: float) -> None:
    """Kill a child that migrates and undoes it, so many seconds after a step of both has begun."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with os.fdopen(reading, "rb") as begun:
            begun.read(1)
            time.sleep(delay_s)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return
    with contextlib.suppress(BaseException):
        left = iter(range(number, -1, -1))

        def tell(_step: str) -> None:
            if next(left, 1) == 0:
                os.write(writing, b".")

        takeover = old.takeover(tell)
        takeover.undo(takeover.begin(plan, config)[0])
        time.sleep(60)  # a short last step is over before its moment
    os._exit(1)
