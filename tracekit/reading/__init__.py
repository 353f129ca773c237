"""Paths into sources of physical lines: files, pipes, archives, bundles, trace.dat."""
