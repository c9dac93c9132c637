"""Dagster resources that vend the real objects: `Settings`, `Ledger` and `GitHub` arrive ready in ops and sensors."""
