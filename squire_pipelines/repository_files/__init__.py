"""A repository's own settings, `.github/squire.toml`: what it may say, how it is read, and what it makes of ours."""
