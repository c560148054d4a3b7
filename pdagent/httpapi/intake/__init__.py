"""Events coming in: single requests, batches, the spool."""
