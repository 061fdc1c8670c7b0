"""The report on a metric over all stored runs: its content, as a terminal table and as a page."""
