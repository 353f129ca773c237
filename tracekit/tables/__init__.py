"""Declarations of tables: what a row means, its keys, and what each column holds."""
