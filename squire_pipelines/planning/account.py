"""What a planner's conversation with a model may cost and has cost: reserved in the ledger before it, settled after.

Every plan that may ask a model has one, also a plan that is only shown: it costs the same.
"""

from squire_pipelines.domain.budgets import Amount, Purpose
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.provider_limits import limited, share_of_day
from squire_pipelines.errors import ModelUnavailableError, PlanBudgetError
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.provider_budgets import reserve_at_providers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider


class PlanAccount:
    """The account of one plan of one repository; `reserve` and `settle` are for `planner.make_plan`.

    Each provider that is asked has a reservation and a row of its own.
    """

    def __init__(self, ledger: Ledger, settings: Settings, repository: str, *, trace_id: str) -> None:
        self._ledger = ledger
        self._limits = settings.budgets_for(repository)
        self._repository = repository
        self._trace_id = trace_id
        self._reservation = ""

    def reserve(self, provider: ModelProvider) -> int | None:
        """Reserve what one conversation may cost, and return the most tokens that it may use, None for any number.

        Raises ModelUnavailableError when the provider's limit of the day has no room for it, PlanBudgetError when a
        budget has none, LedgerError.
        """
        self._reservation = f"plan:{new_trace_id()}"
        with self._ledger.write() as tx:
            short = budgets.reserve(
                tx,
                self._reservation,
                Purpose.PLAN,
                self._limits,
                repository=self._repository,
                trace_id=self._trace_id,
            )
            day = {provider.name: provider.limits.max_usd_per_day}
            usd = share_of_day(self._limits.cap(Purpose.PLAN), day)
            shortages = {}
            if short is None and usd is not None and limited(day):
                shortages = reserve_at_providers(tx, self._reservation, limited(day), usd)
            if shortages:
                budgets.release(tx, self._reservation)
        for shortage in shortages.values():
            raise ModelUnavailableError(str(shortage), hint="it is asked again tomorrow, in UTC")
        if short is not None:
            raise PlanBudgetError(
                f"{short} has no room for a plan", hint="docs/guide/budgets.md says when it has again"
            )
        return self._limits.cap(Purpose.PLAN).tokens

    def settle(self, call: ModelCall) -> None:
        """Record the conversation, and put what it cost in the place of the reservation. Raises LedgerError."""
        row = ModelCallRow(
            purpose="plan",
            model=call.model,
            ok=call.ok,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            latency_s=call.latency_s,
            cost_usd=call.cost_usd,
            error=call.error,
            trace_id=self._trace_id,
            repository=self._repository,
            call_id=self._reservation,
            provider=call.provider,
            stated_usd=call.stated_usd,
            cost_difference_usd=call.cost_difference_usd,
        )
        spent = Amount(call.cost_usd or 0.0, call.input_tokens + call.output_tokens)
        with self._ledger.write() as tx:
            record_model_call(tx, row)
            is_counted = call.cost_usd is not None or not spent.tokens
            budgets.settle_plan(tx, self._reservation, spent, 1, is_counted=is_counted)
