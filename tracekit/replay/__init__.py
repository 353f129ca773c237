"""Event tables into model tables: clocks, models, what-if, score."""
