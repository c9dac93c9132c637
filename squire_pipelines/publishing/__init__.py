"""From an agent's bundle to a pull request: verify, judge, push, open. Never runs git where an agent could write."""
