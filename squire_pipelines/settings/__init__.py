"""The settings: `config.toml` read, checked, explained and changed. What each section may say is `sections`."""
