"""Sources of signals beside GitHub's four: task files, and what installed packages offer. No Dagster, no ledger."""
