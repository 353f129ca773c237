"""Grammar files into lowered rules."""
