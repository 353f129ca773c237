"""Turn tables into findings: diagnoses, the devices that they name, and what to record."""
