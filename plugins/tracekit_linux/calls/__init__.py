"""Entries and returns into calls."""
