"""Models of this plugin: from event rows to lives, windows and predictions."""
