"""``matrix``: many runs on many machines. One module a command."""
