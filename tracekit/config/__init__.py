"""What the user sets: which diagnoses run, how severe they are, their settings, and which findings are known."""
