"""A forge within this process, with one repository and a clock of its own, that people and bots act on.

It is asked without a socket, and git works on its bare repository by path: both for the sake of many short lives.
"""

import asyncio
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from squire_forge import operations, settling, store, store_checks, store_merging
from squire_forge.app import build_app
from squire_forge.faults import Fault
from squire_forge.hosting import HostRequest, host
from squire_forge.people import PersonAct, act_as
from squire_forge.records import Account, Comment, Delivery, Pull, Repository, ThreadComment
from squire_forge.world import VIEWER_LOGIN, ForgeConfig, View, World
from tests.support.git_repository import git
from tests.support.ledgers import Clock

OWNER, NAME = "acme", "shop"
HOSTED = f"{OWNER}/{NAME}"
TOKEN = "t" * 40
WEB = "http://127.0.0.1"
STATE_FILE = "state.txt"
GREEN, RED = "good\n", "bad\n"
CHECK = "tests"


@dataclass(frozen=True)
class Interruption:
    """Something that happens right before the first request that matches, by method and path, gets to GitHub."""

    match: str
    act: Callable[[], object]


class LifeForge:
    """One repository of a forge, whose check `tests` is green while `state.txt` says "good".

    Args:
        folder: For its files.
        clock: Its time; each act of somebody takes a second.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        config = ForgeConfig(
            home=folder,
            web_url=WEB,
            token=TOKEN,
            webhook_secret="s",
            webhook_url=f"{WEB}/hook",
            merge_prefix=None,
            rate_limit=10**6,
        )
        self.world = World(config, clock=clock)
        self.app = build_app(self.world)
        self.repository = HOSTED
        expectations = ({"check": CHECK, "path": STATE_FILE, "pattern": "^good$", "message": "state.txt is bad"},)
        host(
            self.world,
            HostRequest.model_validate({"owner": OWNER, "name": NAME, "path": sample(), "expectations": expectations}),
        )
        self.persons_commits: list[str] = []
        self.hold_checks = False
        self.interruptions: list[Interruption] = []
        self.settle()

    def close(self) -> None:
        """Close its files."""
        self.world.database.close()

    # ── What it is ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def bare(self) -> Path:
        """Return the bare repository, wherever the repository has been moved."""
        return self.world.repositories_dir / f"{HOSTED}.git"

    def view(self, con: Any) -> View:
        """Return it as one connection to its database sees it."""
        return View(self.world, con)

    def hosted(self, con: Any) -> Repository:
        """Return the repository by its present name."""
        owner, _, name = self.repository.partition("/")
        repository = store.find_repository(con, owner, name)
        assert repository is not None
        return repository

    def pulls(self) -> Sequence[Pull]:
        """Return all pull requests of ours."""
        with self.world.database.reading() as con:
            all_pulls = store.pulls(con, self.hosted(con))
        return [pull for pull in all_pulls if pull.author.login == VIEWER_LOGIN]

    def pull(self) -> Pull:
        """Return our newest pull request."""
        pulls = self.pulls()
        assert pulls, "there is no pull request of ours"
        return pulls[-1]

    def merged_by(self, number: int) -> str | None:
        """Return the login of who merged a pull request; None where nobody has."""
        with self.world.database.reading() as con:
            pull = store.pull(con, self.hosted(con), number)
            return store.account(con, pull.merged_by).login if pull is not None and pull.merged_by else None

    def is_to_be_merged(self) -> bool:
        """Return whether auto-merge or the merge queue has a pull request of ours."""
        pulls = self.pulls()
        with self.world.database.reading() as con:
            return any(store_merging.wish(con, pull) is not None for pull in pulls)

    def own_words(self) -> Sequence[tuple[str, str]]:
        """Return what we said on our pull requests: the place, which names comment thread or conversation, and text."""
        words: list[tuple[str, str]] = []
        with self.world.database.reading() as con:
            for pull in store.pulls(con, self.hosted(con)):
                written: list[tuple[str, Comment | ThreadComment]] = [
                    (f"#{pull.number}", comment) for comment in store.comments(con, pull)
                ]
                for thread in store.threads(con, pull):
                    place = f"#{pull.number} thread {thread.id}"
                    written += [(place, remark) for remark in store.thread_comments(con, thread)]
                words += [(place, one.body) for place, one in written if one.author.login == VIEWER_LOGIN]
        return words

    def contains(self, text: str) -> bool:
        """Return whether some commit that a branch or a pull request has, or had, adds this text."""
        return bool(git(self.bare, "log", "--all", "--reflog", "--format=%H", f"-S{text}"))

    def is_kept_by_branches(self, sha: str) -> bool:
        """Return whether a commit is in a branch or in a pull request's head."""
        refs = git(self.bare, "for-each-ref", f"--contains={sha}", "--format=%(refname)")
        return bool(refs)

    # ── How it is asked ───────────────────────────────────────────────────────────────────────────────────────────

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return what carries requests to it."""
        paths = _PathsOfClones(httpx.ASGITransport(app=self.app), str(self.world.repositories_dir))
        return _Interrupted(paths, self.interruptions)

    def take_deliveries(self) -> list[Delivery]:
        """Return the webhooks that are to be sent, and count them as sent."""
        with self.world.database.writing() as con:
            pending = list(store_checks.deliveries(con, pending=True, limit=1000))
            con.execute("UPDATE deliveries SET delivered_at = created_at, status = 'OK' WHERE delivered_at IS NULL")
        return pending

    def add_fault(self, match: str, **fault: Any) -> None:
        """Inject a fault into the next requests that match."""
        self._ask("POST", json=Fault(match=match, **fault).model_dump())

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._ask("DELETE")

    def _ask(self, method: str, **more: Any) -> None:
        async def ask() -> None:
            headers = {"authorization": f"Bearer {TOKEN}"}
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=WEB, headers=headers) as client:
                (await client.request(method, "/_forge/faults", **more)).raise_for_status()

        asyncio.run(ask())

    # ── What happens there ────────────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Announce pushes and, unless they are held, run checks."""
        with self.world.database.reading() as con:
            repository_id = self.hosted(con).id
        if self.hold_checks:
            settling.announce(self.world, repository_id)
        else:
            settling.settle(self.world, repository_id)

    def act(self, login: str = "mara", **act: Any) -> None:
        """Have a person act, who may write unless `permission` says otherwise."""
        self.clock.forward(1)
        known = {"permission": "write"} if act.get("kind", "User") == "User" else {}
        act_as(self.world, PersonAct(repository=self.repository, login=login, **known | act))

    def push(
        self, files: dict[str, str], *, branch: str, onto: str | None = None, message: str = "A person's change"
    ) -> str:
        """Push a person's commit to a branch, on top of `onto` (by default the branch itself); return it."""
        self.clock.forward(1)
        parent = git(self.bare, "rev-parse", onto or f"refs/heads/{branch}")
        sha = _commit(self.bare, parent, files, message)
        git(self.bare, "update-ref", f"refs/heads/{branch}", sha)
        self.persons_commits.append(sha)
        self.settle()
        return sha

    def edit(self, change: Callable[[View, Pull], object]) -> None:
        """Change our pull request as the forge itself would."""
        self.clock.forward(1)
        number = self.pull().number
        with self.world.lock, self.world.database.writing() as con:
            pull = store.pull(con, self.hosted(con), number)
            assert pull is not None
            change(self.view(con), pull)

    def account(self, con: Any, login: str, kind: str = "User") -> Account:
        """Return an account, made if need be."""
        return store.ensure_account(con, login, kind, self.world.now())  # type: ignore[arg-type]

    def merge(self, method: str = "merge") -> None:
        """Have a person merge our pull request by GitHub's button: `merge`, `squash` or `rebase`."""
        self.clock.forward(1)
        with self.world.database.writing() as con:
            person = self.account(con, "mara")
        settling.merge(self.world, self.pull(), person, method=method)
        self.settle()

    def merge_number(self, number: int) -> None:
        """Have a person merge a pull request of a person."""
        self.clock.forward(1)
        with self.world.database.writing() as con:
            person, pull = self.account(con, "mara"), store.pull(con, self.hosted(con), number)
        assert pull is not None
        settling.merge(self.world, pull, person)
        self.settle()

    def set_state(self, state: str) -> None:
        """Close our pull request, or open it again."""
        self.edit(lambda view, pull: operations.edit_pull(view, pull, operations.PullEdit(state=state)))
        self.settle()

    def set_repository(self, **columns: Any) -> None:
        """Change columns of the repository's row: archived, default_branch, name."""
        self.clock.forward(1)
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self.world.database.writing() as con:
            row = self.hosted(con).id
            con.execute(f"UPDATE repositories SET {assignments} WHERE id = ?", (*columns.values(), row))  # noqa: S608
        if "name" in columns:
            self.repository = f"{OWNER}/{columns['name']}"
            bare = self.world.repositories_dir / f"{self.repository}.git"
            if not bare.exists():
                bare.symlink_to(self.world.repositories_dir / f"{HOSTED}.git")

    def status(self, state: str, *, context: str = "build") -> None:
        """Have another service say this of our head."""
        self.clock.forward(1)
        sha = self.pull().head_sha
        with self.world.database.writing() as con:
            repository = self.hosted(con)
            con.execute("DELETE FROM statuses WHERE sha = ? AND context = ?", (sha, context))
            store.insert(
                con,
                "statuses",
                repository_id=repository.id,
                sha=sha,
                context=context,
                state=state,
                description=None,
                created_at=self.world.now(),
            )

    def refuse_pushes(self, *, refused: bool) -> None:
        """Refuse every push to our branches from now on, or take them again."""
        # Hooks do not run: git on this machine has them turned off, and the other side inherits that.
        if refused:
            git(self.bare, "config", "receive.hideRefs", "refs/heads/squire")
        else:
            git(self.bare, "config", "--unset-all", "receive.hideRefs")


class _Interrupted(httpx.AsyncBaseTransport):
    """Has something happen at GitHub right before a request gets there."""

    def __init__(self, transport: httpx.AsyncBaseTransport, interruptions: list[Interruption]) -> None:
        self._transport = transport
        self._interruptions = interruptions

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on, after what comes before it."""
        for interruption in list(self._interruptions):
            if re.search(interruption.match, f"{request.method} {request.url.path}"):
                self._interruptions.remove(interruption)
                await asyncio.to_thread(interruption.act)
        return await self._transport.handle_async_request(request)


class _PathsOfClones(httpx.AsyncBaseTransport):
    """Answers the question for a repository with a path to clone, since nothing listens at the forge's address."""

    def __init__(self, transport: httpx.AsyncBaseTransport, folder: str) -> None:
        self._transport = transport
        self._folder = folder

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the forge."""
        content = await request.aread()
        response = await self._transport.handle_async_request(request)
        if b"query Repository(" not in content or response.status_code != httpx.codes.OK:
            return response
        body = json.loads(await response.aread())
        repository = (body.get("data") or {}).get("repository")
        if repository:
            repository["url"] = repository["url"].replace(WEB, self._folder, 1)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return httpx.Response(response.status_code, headers=headers, content=json.dumps(body).encode())


_IDENTITY = {
    name: value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in ((f"GIT_{role}_NAME", "Mara"), (f"GIT_{role}_EMAIL", "mara@example.invalid"))
}


def _commit(bare: Path, parent: str, files: dict[str, str], message: str) -> str:
    """Make a commit in a bare repository without a working copy; return it."""
    with_index = {**os.environ, **_IDENTITY, "GIT_INDEX_FILE": str(bare / "life-index")}

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=bare, env=with_index, input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    run("read-tree", parent)
    for name, content in files.items():
        blob = run("hash-object", "-w", "--stdin", stdin=content)
        run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    return run("commit-tree", run("write-tree"), "-p", parent, "-m", message)


@cache
def sample() -> Path:
    """Make the repository that is hosted."""
    folder = Path(tempfile.mkdtemp(prefix="squire-life-"))
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / STATE_FILE).write_text(GREEN)
    (folder / "README.md").write_text("# Shop\n\none\ntwo\nthree\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder
