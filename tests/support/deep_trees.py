"""Folders as an agent may leave them to stop whoever removes them."""

import os
from pathlib import Path


def make_deep(folder: Path, levels: int) -> None:
    """Make folders one in another, deeper than any path can be, and go back."""
    before = os.open(".", os.O_RDONLY)
    try:
        folder.mkdir(parents=True)
        os.chdir(folder)
        for _ in range(levels):
            Path("deeper").mkdir()
            os.chdir("deeper")
            Path("file").write_text("x", encoding="utf-8")
    finally:
        os.fchdir(before)
        os.close(before)
