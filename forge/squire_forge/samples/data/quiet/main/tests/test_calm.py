import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "src"))

from calm import breath


class CalmTest(unittest.TestCase):
    def test_a_breath_takes_nineteen_seconds(self):
        self.assertEqual(breath(), 19)


if __name__ == "__main__":
    unittest.main()
