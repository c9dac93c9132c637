"""What lets an agent act on a signal: logs and annotations of failed checks, read within bounds and made clean."""
