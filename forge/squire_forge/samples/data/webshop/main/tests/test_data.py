import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class DataTest(unittest.TestCase):
    def test_prices_are_whole_cents(self):
        for product in json.loads((ROOT / "data/products.json").read_text()):
            self.assertIsInstance(product["cents"], int)

    def test_discount_rates_are_fractions(self):
        path = ROOT / "data/discounts.json"
        for discount in json.loads(path.read_text()) if path.exists() else []:
            self.assertTrue(0 < discount["rate"] < 1, f"{discount['code']}: a rate of {discount['rate']} is no fraction")

    def test_sources_compare_strictly(self):
        for path in sorted((ROOT / "src").glob("*.mjs")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                self.assertIsNone(re.search(r"[^=!]==[^=]", line), f"{path.name}:{number}: use ===")


if __name__ == "__main__":
    unittest.main()
