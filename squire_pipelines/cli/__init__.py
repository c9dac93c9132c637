"""The squire command, a module per command group. Starts without importing Dagster."""
