"""Picture: what happened to one device, as lanes over time that reports draw."""
