"""The laboratory: everything that is neither what is computed nor how."""
