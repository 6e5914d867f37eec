"""The command line, one module per command: readable output for people, JSON for scripts."""
