"""The base of what people write into a run's config: each value is that text, never an environment variable's.

Dagster takes `{env: NAME}` for every text, number and truth value of a config. Its UI asks nobody who they are, and
shows the values that a run refuses: whoever reaches it could read each secret in the code server's environment.
"""

import dagster as dg
from dagster._config.pythonic_config import conversion_utils

# Dagster has no setting for this. It reads these names when an op or an asset with a config is defined.
for _source, _plain in (("StringSource", dg.String), ("IntSource", dg.Int), ("BoolSource", dg.Bool)):
    setattr(conversion_utils, _source, _plain)


class RunConfig(dg.Config):
    """The config of an op or an asset, without values of the environment."""
