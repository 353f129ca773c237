"""Lower grammar files to regular expressions."""
