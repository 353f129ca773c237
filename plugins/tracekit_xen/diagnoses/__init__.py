"""Diagnoses of this family, one a file."""
