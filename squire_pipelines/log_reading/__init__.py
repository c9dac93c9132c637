"""Reads all logs of a home in the order of time: those of processes, of Dagster's runs, and of attempts."""
