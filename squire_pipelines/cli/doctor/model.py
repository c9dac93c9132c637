"""The check that a model answers in a given form, which plans need: one tiny question, which is paid for."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.answer_probe import MAX_RETRIES, probe_model
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.provider_uses import ProviderUse, provider_uses

MAX_USES = 10
MAX_TOKENS = 10_000
"""Of one conversation, both ways: the question has some hundred, its answer as many."""

TIMEOUT_S = 60.0


def check_answers(context: CliContext) -> Iterator[Diagnosis]:
    """Ask each model that is called, at each of its providers; what it costs is in the budget and the ledger."""
    uses = provider_uses(context.settings)
    if not uses:
        yield Diagnosis("model answers", "ok", "no model is set")
    for use in uses[:MAX_USES]:
        yield _ask(context, use)
    if (left := len(uses) - MAX_USES) > 0:
        yield Diagnosis("model answers", "ok", f"{left} more models were not asked")


def _ask(context: CliContext, use: ProviderUse) -> Diagnosis:
    settings, provider = context.settings, use.provider
    name = f"{use.user}'s answer"
    key = None if provider.cloud is not None else find_secret(provider.secret, settings.secret_sources_of(use.tenant))
    value = key.reveal() if key is not None else None
    if provider.cloud is None and (fault := provider.key_fault(value)) is not None:
        return Diagnosis(name, "fail", fault.message, fault.hint)
    repository = next(iter((*use.repositories, *settings.repositories)), "")
    account = PlanAccount(context.ledger, settings, repository, trace_id=new_trace_id())
    try:
        allowed = account.reserve(provider)
        options = ModelOptions(
            provider.aliases.get(use.model, use.model),
            provider=replace(provider, protocol=provider.known_protocol),
            api_key=value,
            timeout_s=TIMEOUT_S,
            max_retries=MAX_RETRIES,
            max_tokens=min(allowed or MAX_TOKENS, MAX_TOKENS),
        )
        call = asyncio.run(probe_model(options, on_call=account.settle))
    except PlanningError as error:
        return Diagnosis(name, "fail", f"{use.model} at the provider {provider.name}: {error.message}", error.hint)
    return judge_call(name, call)


def judge_call(name: str, call: ModelCall) -> Diagnosis:
    """Return the line about a model that has answered as it was asked to."""
    tokens = call.input_tokens + call.output_tokens
    cost = f", {call.cost_usd:.4f} USD" if call.cost_usd is not None else ""
    text = (
        f"{call.model} at the provider {call.provider} answers in form: {call.latency_s:.1f} s, {tokens} tokens{cost}"
    )
    return Diagnosis(name, "ok", text)
