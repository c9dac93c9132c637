import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from ledgerlib import format_cents, split


class SplitTest(unittest.TestCase):
    def test_even_total_is_shared_evenly(self):
        self.assertEqual(split(900, 3), [300, 300, 300])

    def test_no_cent_is_lost(self):
        for total in (1, 100, 1000, 9999):
            for parts in (1, 2, 3, 7):
                self.assertEqual(sum(split(total, parts)), total)

    def test_shares_differ_by_a_cent_at_most(self):
        shares = split(1000, 3)
        self.assertEqual(shares, [334, 333, 333])

    def test_no_parts_are_refused(self):
        with self.assertRaises(ValueError):
            split(100, 0)


class FormatTest(unittest.TestCase):
    def test_thousands_and_sign(self):
        self.assertEqual(format_cents(123456), "1,234.56")
        self.assertEqual(format_cents(-5), "-0.05")


if __name__ == "__main__":
    unittest.main()
