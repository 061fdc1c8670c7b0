"""The environment of each framework: its specification, lock, interpreter and cache."""
