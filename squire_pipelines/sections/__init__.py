"""The sections of the settings: each key with its type, default and bounds. Reading them is `settings`."""
