"""A small double-entry ledger in whole cents."""

from ledgerlib.ledger import Ledger, UnbalancedError
from ledgerlib.money import format_cents, split

__all__ = ["Ledger", "UnbalancedError", "format_cents", "split"]
