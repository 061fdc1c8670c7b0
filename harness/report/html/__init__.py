"""The HTML report: one self-contained page a run, with its plots."""
