import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from check_links import broken_links

MISSPELT = ("recieve", "seperate", "occured")


class HandbookTest(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        self.assertEqual(broken_links(), [])

    def test_words_are_spelt_right(self):
        for page in ROOT.glob("docs/*.md"):
            text = page.read_text(encoding="utf-8")
            self.assertEqual([word for word in MISSPELT if word in text], [], page.name)


if __name__ == "__main__":
    unittest.main()
