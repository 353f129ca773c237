"""Executable machines of this family."""
