"""`python -m squire_pipelines.webhooks`: the receiver in a process of its own."""

from squire_pipelines.webhooks.serve import exit_with, main

if __name__ == "__main__":
    exit_with(main())
