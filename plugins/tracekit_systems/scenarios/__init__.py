"""Scenarios run forward: the machines of the plugins, driven by what is asked and not by a recording."""
