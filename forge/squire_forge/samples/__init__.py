"""Sample repositories: real git histories with real defects, each with a program that fixes them.

`build_samples` makes them from the files under `data/`; the forge hosts them.
"""

from squire_forge.samples.build import build_samples
from squire_forge.samples.model import SampleRepository

__all__ = ["SampleRepository", "build_samples"]
