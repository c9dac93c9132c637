"""Names of the run tags by which runs, rows, containers and pull requests find each other."""

TRACE = "squire/trace_id"
TASK = "squire/task"
ATTEMPT = "squire/attempt"
REPOSITORY = "squire/repository"
DELIVERIES = "squire/deliveries"
