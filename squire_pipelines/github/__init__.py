"""Talking to GitHub: reading signals, following pull requests and writing them. No planning, no storage.

`protocol`, `models`, `signals` and `events` are pure; `client` is the only module that touches the network.
"""
