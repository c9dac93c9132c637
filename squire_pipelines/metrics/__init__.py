"""What is counted, and by what name: the families of metrics, and the counters that each process keeps in a file.

Imports no ledger and no settings, so that whatever happens anywhere may be counted where it happens. Reading the
ledger, and answering Prometheus, is `endpoint/`'s.
"""
