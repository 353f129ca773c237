"""Redaction: what names a machine, a person or a place in a log becomes a token; what says why interrupts stopped stays."""
