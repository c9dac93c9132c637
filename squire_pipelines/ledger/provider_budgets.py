"""What providers with a limit of US dollars a day have cost today, and what is reserved of it for work under way.

A reservation's row says at which of them its work may spend how much. It counts, less what its calls are known to have
cost, until it is settled; afterwards the calls themselves count. What nobody can count stays reserved for its day.
"""

from collections.abc import Mapping

from sqlalchemy import func, or_, select, update

from squire_pipelines.domain.budgets import Limit, ReservationState, day_of
from squire_pipelines.domain.provider_limits import ProviderLevel, ProviderShortage, fits_day, share_of_day
from squire_pipelines.ledger.budgets import LOCK
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import budgets, model_calls


def used_today(tx: Transaction, provider: str, *, without: str | None = None) -> float:
    """Return the US dollars that are spent or reserved at a provider today, `without` those of one reservation."""
    spent = select(func.coalesce(func.sum(model_calls.c.cost_usd), 0.0)).where(model_calls.c.provider == provider)
    usd = float(tx.execute(spent.where(model_calls.c.at >= day_of(tx.now))).scalar_one())
    rows = tx.execute(
        select(budgets.c.id, budgets.c.attempt_id, budgets.c.provider_usd).where(
            budgets.c.provider_usd.is_not(None),
            or_(budgets.c.state == ReservationState.OPEN, budgets.c.opened_at >= day_of(tx.now)),
        )
    ).all()
    for row in rows:
        reserved = row.provider_usd.get(provider, 0.0)
        if row.id == without or not reserved:
            continue
        own = tx.execute(spent.where(model_calls.c.attempt_id == row.attempt_id)).scalar_one()
        usd += max(0.0, reserved - float(own))
    return usd


def provider_levels(tx: Transaction, limits: Mapping[str, float], cap: Limit) -> tuple[ProviderLevel, ...]:
    """Return how much of each provider's limit of the day is used.

    Args:
        tx: Reads.
        limits: US dollars a day by the provider's name.
        cap: Of an attempt.
    """
    return tuple(
        ProviderLevel(name, used_today(tx, name), limit, share_of_day(cap, {name: limit}) or 0.0)
        for name, limit in limits.items()
    )


def shortages(
    tx: Transaction, limits: Mapping[str, float], usd: float, *, without: str | None = None
) -> dict[str, ProviderShortage]:
    """Return the providers at which so many US dollars more do not fit.

    Args:
        tx: The transaction.
        limits: US dollars a day by the provider's name.
        usd: What is to be reserved at each.
        without: The id of a reservation that is not counted.
    """
    used = {name: used_today(tx, name, without=without) for name in limits}
    return {
        name: ProviderShortage(name, used[name], limit)
        for name, limit in limits.items()
        if not fits_day(used[name], usd, limit)
    }


def reserve_at_providers(
    tx: Transaction, reservation_id: str, limits: Mapping[str, float], usd: float
) -> dict[str, ProviderShortage]:
    """Reserve so many US dollars at each provider that has room, and return those that have none.

    Repeating it puts the new amounts in the place of the old ones.
    """
    tx.exclusive(LOCK)
    without_room = shortages(tx, limits, usd, without=reservation_id)
    reserved = {name: usd for name in limits if name not in without_room}
    tx.execute(
        update(budgets).where(budgets.c.id == reservation_id).values(provider_usd=reserved or None, updated_at=tx.now)
    )
    return without_room
