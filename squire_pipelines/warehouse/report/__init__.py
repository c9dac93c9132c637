"""The report: how things went in a span of time, as numbers, as plots and as one page."""
