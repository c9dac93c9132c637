"""What calls to models cost, in words: where nobody knows a part of it, and what the providers themselves say."""

from squire_pipelines.ledger.model_calls import CallCosts


def cost_text(costs: CallCosts) -> str:
    """Return what calls cost, how much of it is known, and how far their providers' own figures are from ours."""
    if not costs.calls:
        return ""
    calls = f"{costs.calls} call{'' if costs.calls == 1 else 's'}"
    parts = [f"{costs.cost_usd:.4f} USD, {calls}"]
    if costs.unpriced:
        parts.append(f"{costs.unpriced} without a known price")
    if costs.estimated:
        parts.append(f"{costs.estimated} with estimated tokens")
    if costs.stated:
        parts.append(stated_text(costs))
    return ", ".join(parts)


def stated_text(costs: CallCosts) -> str:
    """Return what providers say that calls cost, and how that differs from our own calculation."""
    stated = f"{costs.stated_usd:.4f} USD by the provider's own figure of {costs.stated}"
    return f"{stated} ({costs.difference_usd:+.4f} against our calculation)"
