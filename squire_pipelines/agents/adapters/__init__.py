"""What an agent is to Squire: how it is started, what it may do, how its output is read and how it is judged."""
