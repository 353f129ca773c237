"""Simulation: run the models forward on a scenario, and return the faults that follow."""
