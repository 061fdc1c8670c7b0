"""A matrix of runs: planned once, run unit by unit on many machines, merged. No scheduler of its own."""
