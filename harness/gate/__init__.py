"""The gate: has anything got worse? By two variants in one run, or by a stored baseline."""
