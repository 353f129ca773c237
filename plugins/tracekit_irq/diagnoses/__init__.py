"""Diagnoses of this family, one per file."""
