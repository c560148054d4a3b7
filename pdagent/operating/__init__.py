"""What operators ask of a running agent: which events there are, and what became of each."""
