"""Reports of a run, each from its record alone: for a terminal, as Markdown."""
