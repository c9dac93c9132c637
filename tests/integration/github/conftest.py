"""The demo forge for this area's tests."""

from tests.support.forge import forge, forge_home, hosted_home, samples

__all__ = ["forge", "forge_home", "hosted_home", "samples"]
