"""The command line: options into calls."""
