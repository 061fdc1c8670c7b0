"""Bisection: which release of a framework brought a change, by few measurements."""
