"""Accounts and postings."""

from collections import defaultdict

from ledgerlib.money import split


class UnbalancedError(ValueError):
    """A posting whose two sides differ."""


class Ledger:
    """Keeps the balance of each account; every posting has two equal sides."""

    def __init__(self):
        self._balances = defaultdict(int)
        self.postings = []

    def post(self, text, *, debit, credit, cents):
        """Move `cents` from the account `credit` to the account `debit`."""
        self._record(text, {debit: cents}, {credit: cents})

    def post_shared(self, text, *, debits, credit, cents):
        """Move `cents` from one account to several, in even shares."""
        self._record(text, dict(zip(debits, split(cents, len(debits)))), {credit: cents})

    def balance(self, account):
        """Return the balance of an account in cents; debits increase it."""
        return self._balances[account]

    def _record(self, text, debits, credits):
        if sum(debits.values()) != sum(credits.values()):
            raise UnbalancedError(f"{text}: {sum(debits.values())} debited, {sum(credits.values())} credited")
        for account, cents in debits.items():
            self._balances[account] += cents
        for account, cents in credits.items():
            self._balances[account] -= cents
        self.postings.append(text)
