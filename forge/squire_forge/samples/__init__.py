"""Sample repositories of the demo: real git histories with real defects, and the codemods that mend them.

`build_samples` makes them; their files lie under `data/`. Hosting them is the forge's matter.
"""

from squire_forge.samples.build import build_samples
from squire_forge.samples.model import SampleRepository

__all__ = ["SampleRepository", "build_samples"]
