"""A stand-in for GitHub in a process of its own: GraphQL, REST, git over HTTP, signed webhooks, checks and merging.

`process.ForgeProcess` starts it; `python -m squire_forge` is it. Nothing here is used in production,
and nothing outside `demo/` and the tests imports it.
"""
