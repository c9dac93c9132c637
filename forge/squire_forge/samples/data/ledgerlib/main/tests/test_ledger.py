import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from ledgerlib import Ledger


class LedgerTest(unittest.TestCase):
    def test_posting_moves_money(self):
        ledger = Ledger()
        ledger.post("rent", debit="housing", credit="bank", cents=95_000)
        self.assertEqual(ledger.balance("housing"), 95_000)
        self.assertEqual(ledger.balance("bank"), -95_000)

    def test_shared_posting_balances(self):
        ledger = Ledger()
        ledger.post_shared("dinner", debits=["ann", "ben", "cem"], credit="bank", cents=10_000)
        self.assertEqual(sum(ledger.balance(name) for name in ("ann", "ben", "cem")), 10_000)


if __name__ == "__main__":
    unittest.main()
