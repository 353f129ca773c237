"""Models of this family: rows into lives, windows, predictions."""
