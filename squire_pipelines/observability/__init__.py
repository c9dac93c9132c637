"""Logging and what else lets people see inside. No business rules."""
