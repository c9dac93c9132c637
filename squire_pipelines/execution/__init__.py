"""One attempt, step by step: lease, workspace, gateway session, verification, publication, ending. No Dagster here."""
