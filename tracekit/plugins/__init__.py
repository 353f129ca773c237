"""The parts that plugins provide, and how they are loaded and checked."""
