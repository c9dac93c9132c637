"""Running one attempt's agent: workspace in, runners, workspace out. No GitHub, no ledger."""
