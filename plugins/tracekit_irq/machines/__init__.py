"""Executable machines of this plugin."""
