"""`squire doctor`: the table of its checks, each check, and the repairs that are safe."""
