"""A run's folder and journal, and the tables that are derived from them."""
