"""A stand-in for GitHub in a process of its own: GraphQL, REST, git over HTTP, signed webhooks, checks and merging.

`python -m squire_forge` serves it; `process.ForgeProcess` starts that command and is its client. It is made for tests
and demonstrations and imports nothing of Squire's.
"""
