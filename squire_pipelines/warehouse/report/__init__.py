"""The report on a span of time: its numbers, its plots and its page."""
