"""What is measured: each function measures one checkout once, and returns one figure per row."""
