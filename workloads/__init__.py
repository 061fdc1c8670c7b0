"""What is computed, told without any framework."""
