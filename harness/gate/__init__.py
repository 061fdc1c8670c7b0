"""The gate: has anything got worse? By two arms of one run, or by a stored baseline."""
