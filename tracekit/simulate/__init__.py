"""The model forward: a scenario in, the faults that it leads to out."""
