"""An agent's only way to the outside: model calls with the key added and tokens counted, and named registries."""
