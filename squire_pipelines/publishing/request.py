"""What is to be published: an attempt's work with all that the text of its pull request says. Values only."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.templates import fill_template
from squire_pipelines.domain.title_styles import PLAIN_TITLES, TitleStyle, styled_title
from squire_pipelines.domain.verification import VerificationReport
from squire_pipelines.publishing.author import NEUTRAL_EMAIL, NEUTRAL_NAME
from squire_pipelines.publishing.git_merges import AutomaticMerge


@dataclass(frozen=True, slots=True)
class SignalLink:
    """A fact that the task answers: its title, which a stranger may have written, and its page."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What the attempt used; None where nobody counted."""

    usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None


NO_COST = Cost()


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How titles, texts and commits' first lines look: conventions and templates of the settings.

    Args:
        titles: How a title begins; None where the repository's history says it.
        title: A template with `{title}`; likewise the others.
        body: With `{body}`.
        commit: With `{title}`.
        is_signed_off: Whether the commit's message ends with its author's `Signed-off-by`.
        template: The repository's own template of pull requests, which is filled; empty for none, None where the
            repository is to be asked for it.
    """

    titles: TitleStyle | None = PLAIN_TITLES
    title: str = "{title}"
    body: str = "{body}"
    commit: str = "{title}"
    is_signed_off: bool = False
    template: str | None = ""


PLAIN_STYLE = TextStyle()


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What is to be published.

    Args:
        queued_at: When the attempt was queued, which dates the commit: the same at every repetition.
        clone_url: Where to push, without credentials.
        base_ref: The branch that the pull request goes into.
        base_sha: The commit that the agent was given.
        branch: The task's one branch.
        bundle: The file that the agent left.
        bundle_branch: The one branch that the file holds; the task's by default, which may have had another name then.
        scratch: A folder where no agent can write; emptied first.
        spec: The task, with the protected paths that it asks for.
        signals: The facts that it answers.
        planner: Who planned it.
        requester: The person who asked for it, where one did: then nobody planned it.
        agent: What did it.
        earlier_heads: The heads that the ledger recorded at `PublicationStep.PUSHING` for earlier attempts of the task.
        follow_up: The branch of an own pull request that the work is added to; `branch` then names only what the
            bundle holds. None opens a pull request for `branch`.
        unfinished: Why the work may be unfinished, for reviewers: it becomes a draft then. Empty where it is whole.
        trusted: Whether the task was ready at once or a person asked for it; what a planner only proposed becomes a
            draft, see the settings.
        verification: What came of the checks that were run before; None when none were.
        cost: What the attempt used.
        bot_name: Author and committer of the commit that is published.
        bot_email: Their address.
        notes: What a reviewer should know of the workspace, such as submodules that were not there.
        style: How its texts look.
        words: What the agent said last of its work, in its own words; empty where it said nothing.
        order: The whole order that the agent was given, as people read it; empty where it is not to be shown.
        closes: The issues of the repository that a merge resolves.
        diff: Where the change is written as people read it; None writes it nowhere.
        merge: The automatic merge whose conflicts the work resolves, at `base_sha`; its two sides become the parents.
    """

    attempt_id: str
    task_id: str
    trace_id: str
    queued_at: datetime
    repository: str
    clone_url: str
    base_ref: str
    base_sha: str
    branch: str
    bundle: Path
    scratch: Path
    spec: TaskSpec
    signals: tuple[SignalLink, ...] = ()
    planner: str = "rules"
    requester: str | None = None
    agent: str = "command"
    earlier_heads: frozenset[str] = frozenset()
    follow_up: str | None = None
    bundle_branch: str | None = None
    unfinished: str = ""
    trusted: bool = True
    verification: VerificationReport | None = None
    cost: Cost = NO_COST
    bot_name: str = NEUTRAL_NAME
    bot_email: str = NEUTRAL_EMAIL
    notes: tuple[str, ...] = ()
    style: TextStyle = PLAIN_STYLE
    words: str = ""
    order: str = ""
    closes: tuple[int, ...] = ()
    diff: Path | None = None
    merge: AutomaticMerge | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """The parents of the commit that is published."""
        return (self.base_sha,) if self.merge is None else (self.merge.branch_head, self.merge.base_head)

    @property
    def title(self) -> str:
        """The task's title by the convention, before any template."""
        return styled_title(self.spec.title, self.spec.kind, self.style.titles or PLAIN_TITLES)

    def fill(self, template: str, **values: str) -> str:
        """Return a template of the style with its names replaced."""
        return fill_template(
            template, {"title": self.title, "kind": self.spec.kind.value, "task": self.task_id, **values}
        )

    @property
    def target(self) -> str:
        """The branch that is pushed to, whose pull request it becomes."""
        return self.follow_up or self.branch
