"""The board: web pages for those who run Squire, in a process of its own. It imports no command and no Dagster."""
