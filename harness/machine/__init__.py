"""What the machine is, what it can do, and what disturbs it."""
