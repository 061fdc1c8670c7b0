"""Statistics on plain numbers: intervals, tests, change points."""
