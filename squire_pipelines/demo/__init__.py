"""Trying Squire with nothing leaving the machine: the demo forge, sample repositories and the driver."""
