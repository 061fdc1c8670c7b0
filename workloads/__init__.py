"""What is computed, described without any framework."""
