"""What stored runs say together: two runs compared, and a metric over all of them."""
