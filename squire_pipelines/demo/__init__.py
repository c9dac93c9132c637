"""`squire demo`: the real pipeline on samples or a local repository, with a forge on this machine instead of GitHub."""
