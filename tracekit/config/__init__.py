"""The user's settings: which diagnoses run, their severities, their settings, and the known findings."""
