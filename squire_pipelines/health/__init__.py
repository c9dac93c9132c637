"""How Squire is doing: probes of what it needs, side by side, and the conditions that any process may read."""
