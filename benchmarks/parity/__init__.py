"""The parity check on many workloads: drawn ones, files and the catalogue, in every cell."""
