"""Calls into operations on devices."""
