"""The report of a matrix: what merged units say, and a map of them."""
