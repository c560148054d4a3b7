"""Looking at a journal without an agent: damage, verification, compaction, what can be saved."""
