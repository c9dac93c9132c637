"""The section `follow.after_merge`: what Squire does when the base branch fails on a merge of its pull request."""

from pydantic import Field

from squire_pipelines.domain.base_checks import BaseRules
from squire_pipelines.sections.types import Seconds, SettingsSection


class AfterMergeSettings(SettingsSection):
    """What Squire looks at after a merge of its own pull request, whoever merged it."""

    watch: bool = Field(default=True, description="the base branch's checks on the merge are looked at, and told of")
    revert: bool = Field(default=False, description="a pull request that takes the merge back is opened, for people")
    watch_s: Seconds = Field(default=7_200, le=86_400, description="how long checks are waited for after the merge")

    def rules(self, *, rerun: bool) -> BaseRules:
        """Return what is done; `rerun` is whether failed checks are run again once."""
        return BaseRules(watch_s=self.watch_s, rerun=rerun, revert=self.revert)
