"""Tables into findings: diagnoses, the devices they name, what to record."""
