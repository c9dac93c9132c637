"""Names of the run tags by which runs, rows, containers and pull requests find each other."""

TRACE = "squire/trace_id"
TASK = "squire/task"
ATTEMPT = "squire/attempt"
REPOSITORY = "squire/repository"
# The attempt before this one, of the same task.
PREVIOUS = "squire/previous_attempt"
# On a run that goes on with an attempt whose run died: that run.
ADOPTED_FROM = "squire/adopted_from"
