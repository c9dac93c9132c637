"""The section `follow`: what Squire does on its own pull requests before it leaves them to people."""

from pydantic import Field

from squire_pipelines.domain.base_updates import BaseUpdateRules, UpdateWhen
from squire_pipelines.domain.following import FollowRules
from squire_pipelines.sections.base_watch import AfterMergeSettings
from squire_pipelines.sections.merging import MergeSettings
from squire_pipelines.sections.types import Seconds, SettingsSection


class FollowSettings(SettingsSection):
    """What Squire does on a pull request of its own, by itself, before it leaves it to people."""

    checks: bool = Field(default=True, description="an agent mends checks that fail on it")
    remarks: bool = Field(default=True, description="an agent answers remarks of people who may ask, and of bots")
    max_fixes: int = Field(default=3, ge=0, le=20, description="tries at the checks of one pull request")
    max_fixes_of_head: int = Field(default=2, ge=1, le=20, description="of these, on one head")
    max_answers: int = Field(default=5, ge=0, le=50, description="rounds of answers to remarks")
    max_answers_of_thread: int = Field(
        default=3, ge=1, le=50, description="answers in one thread; what is said there after them is for people"
    )
    conflicts: bool = Field(
        default=True, description="conflicts with its base are merged by git, and by an agent where git cannot"
    )
    max_resolves: int = Field(default=3, ge=0, le=20, description="tries at conflicts of one pull request")
    max_resolves_of_base: int = Field(default=2, ge=1, le=20, description="of these, at one head of its base")
    update_branch: UpdateWhen = Field(
        default=UpdateWhen.REQUIRED,
        description="when a branch that its base has left behind is brought up to date: where the base asks for it, "
        "always, or never",
    )
    max_updates: int = Field(default=20, ge=0, le=1000, description="how often its branch is brought up to date")
    conflict_label: str = Field(
        default="squire:conflict",
        max_length=50,
        description="label of a pull request whose conflict is left to people; none where it is empty",
    )
    settling_s: Seconds = Field(default=30, description="how long failed checks must have stayed as they are")
    resolve_threads: bool = Field(default=True, description="threads that were dealt with are resolved")
    check_run: bool = Field(
        default=True, description="a neutral check run, or a status, on each commit says where its pull request stands"
    )
    expires_days: float = Field(
        default=0,
        ge=0,
        le=3650,
        description="days without anything happening after which one is closed, with a comment; 0 is never",
    )
    dashboard: bool = Field(default=False, description="an issue shows all work in the repository, with boxes to tick")
    comment: bool = Field(default=True, description="a comment says what was tried when it is left to people")
    merge: MergeSettings = MergeSettings()
    after_merge: AfterMergeSettings = AfterMergeSettings()

    @property
    def rules(self) -> FollowRules:
        """How much is done by itself."""
        return FollowRules(
            max_fixes=self.max_fixes,
            max_fixes_of_head=self.max_fixes_of_head,
            max_answers=self.max_answers,
            max_answers_of_thread=self.max_answers_of_thread,
            settling_s=self.settling_s,
            checks=self.checks,
            remarks=self.remarks,
            base=BaseUpdateRules(
                conflicts=self.conflicts,
                update=self.update_branch,
                max_updates=self.max_updates,
                max_resolves=self.max_resolves,
                max_resolves_of_base=self.max_resolves_of_base,
            ),
        )
