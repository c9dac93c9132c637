"""The operator's endpoint: metrics and health of one home over HTTP, in a process of its own.

Only reading: nothing here changes what Squire does. Counting is `metrics/`, and each process's own.
"""
