"""Announces each proposed task once on the issue that it answers, where the settings allow it.

The try is recorded before the comment is written, and the comment afterwards. A process that was killed in between, or
an answer that was lost, leaves a comment of ours with the task's mark, which the next try finds.
"""

from squire_pipelines.domain.agent_choice import TaskTraits, first_choices
from squire_pipelines.domain.change import JudgedTask
from squire_pipelines.domain.cost_prediction import CostHistory, PredictedCost, predict_cost
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.assignment import resolve
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.own_comments import put_comment
from squire_pipelines.ledger import announcements, tasks
from squire_pipelines.ledger.announcements import Announcement
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_traits import traits_of
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.planning.quoting import for_people
from squire_pipelines.publishing.announcement import announcement_text
from squire_pipelines.publishing.inspection import inspect_text
from squire_pipelines.secrets import Redactor
from squire_pipelines.secrets.lookup import all_secrets
from squire_pipelines.settings.model import Settings
from squire_pipelines.warehouse.cost_history import read_cost_history
from squire_pipelines.warehouse.sharing import readable_publication


def has_to_announce(ledger: Ledger, settings: Settings, settings_of: SettingsOf) -> bool:
    """Return whether there is anything to announce. Changes nothing."""
    return bool(_due(ledger, settings, settings_of))


async def announce(
    ledger: Ledger, client: GitHubClient, settings: Settings, settings_of: SettingsOf, log: RunLog
) -> int:
    """Announce what is to be announced; return how many tasks. What fails is tried again later, a few times."""
    due = _due(ledger, settings, settings_of)
    history = _cost_history(settings, log) if due else {}
    announced = 0
    for announcement in due:
        with ledger.write() as tx:
            if not announcements.begin(tx, announcement):
                continue
            task = tasks.get(tx, announcement.task_id)
            traits = traits_of(tx, task.id, task.repository, task.kind, task.spec.model_dump(mode="json"))
        own = settings_of(announcement.repository)
        marker = f"<!-- squire proposal {task.id} -->"
        try:
            text = announced_text(own, task, _costs(own, task, traits, history))
            number = announcement.number
            comment_id = await put_comment(client, task.repository, number, marker, text, on_issue=True)
        except SquireError as error:
            log.warning(
                "%s#%d: the task %s was not announced: %s", task.repository, announcement.number, task.id, error
            )
            with ledger.write() as tx:
                announcements.record_error(tx, task.id, str(error))
            continue
        with ledger.write() as tx:
            announcements.record_comment(tx, task.id, comment_id)
        announced += 1
    return announced


def _due(ledger: Ledger, settings: Settings, settings_of: SettingsOf) -> list[Announcement]:
    names = [name for name in settings.repositories if settings_of(name).planner.announce]
    with ledger.read() as tx:
        return [announcement for name in names for announcement in announcements.due(tx, name)]


def _cost_history(settings: Settings, log: RunLog) -> CostHistory:
    try:
        return read_cost_history(readable_publication(settings, "warehouse", settings.home.warehouse))
    except SquireError as error:
        log.warning("what tasks cost is not known: %s", error)
        return {}


def _costs(settings: Settings, task: Task, traits: TaskTraits, history: CostHistory) -> list[PredictedCost]:
    choices = first_choices(traits, settings.choice_rules(task.repository))
    agents = [resolve(settings, task.repository, choice) for choice in choices]
    return [predict_cost(agent.agent, agent.model, task.kind, history) for agent in agents]


def announced_text(settings: Settings, task: Task, costs: list[PredictedCost]) -> str:
    """Return an announcement that passes what a pull request's text passes; where its words do not, without them.

    Raises BundleError when nobody can say whether they do.
    """
    trust = settings.trust_for(task.repository)
    secrets = list(all_secrets(settings.secret_sources, settings.named_secrets))

    def write(*, is_withheld: bool = False) -> str:
        text = announcement_text(
            task.id,
            task.spec,
            costs,
            order=for_people(task.spec.prompt),
            approve_label=trust.approve_label,
            reject_label=trust.reject_label,
            is_withheld=is_withheld,
        )
        return Redactor(secrets).redact(text)

    text = write()
    judged = JudgedTask(known_secrets=tuple(secret.reveal() for secret in secrets))
    return write(is_withheld=True) if inspect_text(text, judged, settings.publishing).findings else text
